/** What an operation is counted for is never less than its answer holds, where every list is as full as it can be. */
import 'reflect-metadata';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  getNamedType,
  getNullableType,
  getOperationAST,
  GraphQLError,
  isAbstractType,
  isEnumType,
  isLeafType,
  isListType,
  isObjectType,
  parse,
  validate,
  type GraphQLOutputType,
  type GraphQLSchema,
} from 'graphql';
import { AnswerSize } from '../../gateway/answer-size.js';
import { costOf } from '../../gateway/complexity.js';
import type { Context } from '../../gateway/context.js';
import { Executor } from '../../gateway/executor.js';
import { createSchema } from '../../gateway/schema.js';
import { sample } from './documents.js';
import { Random } from './random.js';

/** How many items a list has, other than that of a page. */
const FULL: Record<string, number> = {
  'Cheep.ancestors': 100,
  'Cheep.mentions': 20,
  'Cheep.links': 21,
  'Funnel.steps': 3,
  'HistoryEntry.changes': 20,
  'UserError.field': 3,
  userErrors: 20,
};
const PAGE_LISTS = ['edges', 'nodes'];

const schema = createSchema();
let random = new Random(0);
/** Of the page that an object is part of. */
interface Filled {
  typeName: string;
  first: number;
}
fill(schema);
const executor = new Executor(schema);

function fill(of: GraphQLSchema): void {
  for (const type of Object.values(of.getTypeMap())) {
    if (type.name.startsWith('__')) continue;
    if (isAbstractType(type)) type.resolveType = (value) => (value as Filled).typeName;
    if (!isObjectType(type)) continue;
    type.isTypeOf = undefined;
    for (const field of Object.values(type.getFields())) {
      const coordinate = `${type.name}.${field.name}`;
      field.resolve = (source: Filled | undefined, args: { first?: number | null; ids?: string[] }) =>
        valueOf(field.type, Math.max(0, args.first ?? 20), () => {
          if (args.ids) return args.ids.length;
          if (type.name.endsWith('Connection') && PAGE_LISTS.includes(field.name)) return source!.first;

          return FULL[coordinate] ?? FULL[field.name] ?? NaN;
        });
    }
  }
}

function valueOf(type: GraphQLOutputType, first: number, items: () => number): unknown {
  const nullable = getNullableType(type);
  if (isListType(nullable)) return Array.from({ length: items() }, () => valueOf(nullable.ofType, first, items));
  const named = getNamedType(type);
  if (isEnumType(named)) return named.getValues()[0]!.value;
  if (isLeafType(named)) return named.name === 'DateTime' ? '2001-02-03T04:05:06.000Z' : named.name === 'Date' ? '2001-02-03' : 1;
  const typeName = isAbstractType(named) ? random.pick(schema.getPossibleTypes(named)).name : named.name;

  return { typeName, first } satisfies Filled;
}

interface Held {
  objects: number;
  values: number;
}

function held(value: unknown): Held {
  if (typeof value !== 'object' || value === null) return { objects: 0, values: 1 };
  const inside = Object.values(value).map(held);

  return {
    objects: (Array.isArray(value) ? 0 : 1) + inside.reduce((sum, { objects }) => sum + objects, 0),
    values: 1 + inside.reduce((sum, { values }) => sum + values, 0),
  };
}

async function compared(query: string, variables: Record<string, unknown> | undefined, operationName: string | null = null) {
  const document = parse(query);
  if (validate(schema, document).length > 0) return null;
  const cost = costOf(schema, document, operationName, variables ?? {});
  if (cost instanceof GraphQLError || cost.values === 0) return null;
  const operation = getOperationAST(document, operationName) ?? undefined;
  const context = { answerSize: new AnswerSize(Infinity) } as Context;
  const { data, errors } = await executor.execute({ document, operation, operationName, variables, context });

  return { cost, held: held(data), errors: errors ?? [] };
}

describe('what an operation is counted for', () => {
  it('is never less than there is in its answer, for any document', async () => {
    let executed = 0;
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 0x7fff_ffff }), async (seed) => {
        random = new Random(seed);
        const { text, requests } = sample(schema, random);
        for (const { operationName, variables } of requests) {
          const found = await compared(text, variables, operationName);
          if (!found) continue;
          executed += 1;
          expect(found.held.values).toBeLessThanOrEqual(found.cost.values);
        }
      }),
      { numRuns: 1_500 },
    );
    expect(executed).toBeGreaterThan(500);
  });

  it.each([
    ['a page', 'query ($n: Int = 7) { timeline(first: $n) { nodes { id } edges { cursor node { message } } pageInfo { endCursor } } }', {}],
    ['a page of a given size', 'query ($n: Int) { timeline(first: $n) { nodes { id } } }', { n: 33 }],
    ['a page of no given size', 'query ($n: Int) { timeline(first: $n) { nodes { id } } }', { n: null }],
    [
      'pages in pages',
      '{ viewer { a: cheeps(first: 5) { nodes { replies(first: 9) { nodes { id } } } } b: cheeps { nodes { id } } } }',
      {},
    ],
    ['ids', 'query ($ids: [ID!]!) { nodes(ids: $ids) { id __typename } }', { ids: ['a', 'b', 'a'] }],
    [
      'fragments',
      '{ viewer { ...F } } fragment F on Author { cheeps(first: 3) { ...G nodes { id } } } fragment G on CheepConnection { pageInfo { endCursor } }',
      {},
    ],
    [
      'what is skipped',
      'query ($no: Boolean!) { viewer { id @skip(if: $no) cheeps @include(if: $no) { nodes { id } } name } }',
      { no: true },
    ],
  ])('is exactly what there is, for %s', async (_, query, variables) => {
    const found = await compared(query, variables);
    expect(found!.errors).toEqual([]);
    expect(found!.cost.values).toBe(found!.held.values);
  });

  it.each([-1, 0, -(2 ** 31)])('is that of one item for a page of %d, which is refused when it is read', async (first) => {
    const found = await compared(`{ timeline(first: ${first}) { nodes { id } } }`, {});
    expect(found!.cost).toEqual({ objects: 2, values: 5 });
  });

  it.each([
    ['in the document', '{ timeline(first: 2147483647) { nodes { id } } }', {}],
    ['in a variable', 'query ($n: Int) { timeline(first: $n) { nodes { id } } }', { n: 2_147_483_647 }],
    ['in a default', 'query ($n: Int = 2147483647) { timeline(first: $n) { nodes { id } } }', {}],
  ])('is too much for a huge page, %s', (_, query, variables) => {
    expect(costOf(schema, parse(query), null, variables)).toBeInstanceOf(GraphQLError);
  });

  it('knows how long each list of the schema can be', () => {
    const unknown: string[] = [];
    for (const type of Object.values(schema.getTypeMap())) {
      if (!isObjectType(type) || type.name.startsWith('__')) continue;
      for (const { name, type: of, extensions } of Object.values(type.getFields())) {
        if (!isListType(getNullableType(of)) || (type.name.endsWith('Connection') && PAGE_LISTS.includes(name))) continue;
        // Those that say nothing of it are counted as 20 items.
        const most = FULL[`${type.name}.${name}`] ?? FULL[name];
        if (typeof extensions['complexity'] !== 'function' && !(most! <= 20)) unknown.push(`${type.name}.${name}`);
      }
    }
    expect(unknown).toEqual([]);
  });
});
