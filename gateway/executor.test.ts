/** What is compiled must answer as what is interpreted: the first uses of a document are compared with the later ones. */
import { describe, expect, it } from '@jest/globals';
import { getOperationAST, GraphQLObjectType, GraphQLNonNull, GraphQLInt, GraphQLList, GraphQLSchema, GraphQLString, parse } from 'graphql';
import type { Context } from './context.js';
import { fault } from './errors.js';
import { Executor } from './executor.js';

const context = {} as Context;

const Thing: GraphQLObjectType = new GraphQLObjectType({
  name: 'Thing',
  fields: () => ({
    name: { type: GraphQLString },
    never: { type: new GraphQLNonNull(GraphQLString), resolve: () => null },
    refused: { type: GraphQLString, resolve: () => Promise.reject(fault('NOT_CAUGHT_UP', 'Later.', { shard: 'a.1:0' })) },
    broken: {
      type: GraphQLString,
      resolve: () => {
        throw new TypeError('a bug');
      },
    },
    things: { type: new GraphQLList(Thing), resolve: async () => [{ name: 'a' }, { name: 'b' }] },
  }),
});
let counted = 0;
const schema = new GraphQLSchema({
  query: new GraphQLObjectType({
    name: 'Query',
    fields: {
      thing: { type: Thing, args: { n: { type: GraphQLInt } }, resolve: (_, { n }: { n?: number }) => ({ name: `thing ${n}` }) },
    },
  }),
  mutation: new GraphQLObjectType({
    name: 'Mutation',
    fields: {
      count: {
        type: GraphQLInt,
        resolve: async () => {
          const before = counted;
          await Promise.resolve();
          counted = before + 1;

          return before;
        },
      },
    },
  }),
});

interface Case {
  what: string;
  text: string;
  variables?: Record<string, unknown>;
  operationName?: string;
}
const TWO = 'query A { thing { name } } query B { thing(n: 2) { name } }';
const ONE = 'query ($n: Int!) { thing(n: $n) { name } }';
const CASES: Case[] = [
  { what: 'fields', text: 'query ($s: Boolean = true) { a: thing(n: 1) { ...F no: name @skip(if: $s) } } fragment F on Thing { name }' },
  { what: 'variables', text: ONE, variables: { n: 3 } },
  { what: 'variables that are wrong', text: ONE, variables: { n: 'three' } },
  { what: 'variables that are missing', text: ONE },
  { what: 'faults, in lists, where they are', text: '{\n  thing {\r\n    things {\n      name\n      refused\n    }\n  }\n}' },
  { what: 'bugs', text: '{ thing { name broken } }' },
  { what: 'null where it must not be', text: '{ thing { name\n things { never } } }' },
  { what: 'one of several operations', text: TWO, operationName: 'B' },
  { what: 'introspection', text: '{ __schema { types { name fields { name type { name kind } } } } }' },
  { what: 'an operation that is not there', text: TWO, operationName: 'C' },
];

describe('an operation that comes again', () => {
  it.each(CASES)('answers the same: $what', async ({ text, variables, operationName }) => {
    const executor = new Executor(schema);
    const document = parse(text);
    const operation = getOperationAST(document, operationName) ?? undefined;
    const answers: unknown[] = [];
    for (let i = 0; i < 5; i++) {
      const { data, errors } = await executor.execute({ document, operation, operationName, variables, context });
      const told = errors?.map((error) => ({
        ...error.toJSON(),
        extensions: error.extensions,
        bug: error.originalError?.constructor.name,
      }));
      answers.push(JSON.parse(JSON.stringify({ data, errors: told })));
    }
    expect(answers[0]).not.toEqual({});
    for (const answer of answers) expect(answer).toEqual(answers[0]);
  });

  it('runs mutations one after another', async () => {
    const executor = new Executor(schema);
    const document = parse('mutation { a: count b: count c: count }');
    const operation = getOperationAST(document) ?? undefined;
    for (let i = 0; i < 4; i++) {
      const from = counted;
      const { data } = await executor.execute({ document, operation, operationName: null, variables: {}, context });
      expect({ ...data }).toEqual({ a: from, b: from + 1, c: from + 2 });
    }
  });
});
