/** Every argument of the schema, and every field of its inputs, with values over which servers stumble: none of them is a bug. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  getNamedType,
  isCompositeType,
  isEnumType,
  isInputObjectType,
  isLeafType,
  isNonNullType,
  isObjectType,
  type GraphQLField,
  type GraphQLInputType,
  type GraphQLNamedType,
  type GraphQLObjectType,
} from 'graphql';
import { newId } from '../shared/ids.js';
import { encodeToken } from '../shared/token.js';
import { schema, TEXTS } from './fuzz/attacks.js';
import { RawSocket } from './raw-socket.js';
import { eventually, PASSWORD, startSystem, type System } from './system.js';

let system: System;
let author: Awaited<ReturnType<System['author']>>;
beforeAll(async () => {
  system = await startSystem();
  author = await system.author();
});
afterAll(() => system?.stop());

interface Case {
  query: string;
  variables: Record<string, unknown>;
}

const IN_A_BATCH = 10;
const BATCHES_AT_ONCE = 4;
const SYSTEM_AND_NOBODY = ['ffffffff-ffff-ffff-ffff-ffffffffffff', '00000000-0000-0000-0000-000000000000'];
const WRONG_TYPES: unknown[] = [{}, [], [[]], [null], { a: 1 }, { toString: 1 }, { toJSON: 1 }, true, 0, 1.5, null];
const NUMBERS: unknown[] = [0, -0, -1, 101, 2 ** 31 - 1, -(2 ** 31), 2 ** 31, 1e308, Number.MAX_SAFE_INTEGER, 1.5, null, 'x', [], {}];
const TIMES = [
  '',
  'x',
  '\ud800',
  '0000-00-00',
  '2024-02-30',
  '9999-12-31',
  '+275760-09-13T00:00:00.000Z',
  '-271821-04-20T00:00:00.000Z',
].concat(['0001-01-01T00:00:00Z', '1970-01-01T00:00:00+99:99', '2016-12-31T23:59:60Z', '2024-01-01T24:00:00Z', '10000-01-01']);
const CURSORS = [encodeToken({ epoch: 'a', position: 1 }), Buffer.from('{"p":1,"i":0}').toString('base64url'), 'AAAA', '='];

function valuesFor(type: GraphQLInputType): unknown[] {
  const { name } = getNamedType(type);
  if (name === 'Int' || name === 'Float') return NUMBERS;
  if (name === 'Date' || name === 'DateTime') return [...TIMES, ...WRONG_TYPES];
  if (isEnumType(getNamedType(type))) return ['x', '\ud800', ...WRONG_TYPES];

  return [...TEXTS, ...SYSTEM_AND_NOBODY, ...CURSORS, ...WRONG_TYPES];
}

function rightFor(type: GraphQLInputType): unknown {
  const named = getNamedType(type);
  if (isInputObjectType(named)) {
    const required = Object.values(named.getFields()).filter((field) => isNonNullType(field.type));
    return Object.fromEntries(required.map((field) => [field.name, field.name === 'password' ? PASSWORD : rightFor(field.type)]));
  }
  if (named.name === 'DateTime') return '2024-01-01T00:00:00Z';

  return named.name === 'ID' ? newId() : 'somebody';
}

/** What can be selected without an argument. */
function leaves(type: GraphQLNamedType): string {
  if (!isCompositeType(type)) return '';
  const fields = isObjectType(type) ? Object.values(type.getFields()).filter((field) => isLeafType(getNamedType(field.type))) : [];

  return `{ __typename ${fields.map(({ name }) => name).join(' ')} }`;
}

/** One argument after the other of a field that is found by this path. */
function casesOf(operation: string, path: string[], field: GraphQLField<unknown, unknown>): Case[] {
  return field.args.flatMap((tried) => {
    const others = field.args.filter((one) => one !== tried && isNonNullType(one.type));
    const given = [tried, ...others];
    const inner = `${field.name}(${given.map(({ name }) => `${name}: $${name}`).join(' ')}) ${leaves(getNamedType(field.type))}`;
    const head = given.map(({ name, type }) => `$${name}: ${type.toString()}`).join(' ');
    const query = `${operation} (${head}) { ${path.reduceRight((all, one) => `${one} { ${all} }`, inner)} }`;
    const right = Object.fromEntries(others.map(({ name, type }) => [name, rightFor(type)]));
    const input = getNamedType(tried.type);
    const values = isInputObjectType(input)
      ? Object.values(input.getFields()).flatMap(({ name, type }) =>
          valuesFor(type).map((value) => ({ ...(rightFor(tried.type) as object), [name]: value })),
        )
      : valuesFor(tried.type);

    return values.map((value) => ({ query, variables: { ...right, [tried.name]: value } }));
  });
}

/** Of all fields that can be had without another argument on the way, each once. */
function allCases(operation: string, root: GraphQLObjectType): Case[] {
  const seen = new Set<GraphQLField<unknown, unknown>>();
  const walk = (type: GraphQLNamedType, path: string[]): Case[] =>
    !isObjectType(type)
      ? []
      : Object.values(type.getFields()).flatMap((field) => {
          if (seen.has(field)) return [];
          seen.add(field);
          const below = operation === 'query' && !field.args.some((one) => isNonNullType(one.type));
          return [...casesOf(operation, path, field), ...(below ? walk(getNamedType(field.type), [...path, field.name]) : [])];
        });

  return walk(root, []);
}

const isABug = (answer: unknown) => JSON.stringify(answer).includes('INTERNAL_SERVER_ERROR');

async function ask(operations: Case[]): Promise<unknown[]> {
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${author.client.accessToken}` };
  const response = await fetch(system.url, { method: 'POST', headers, body: JSON.stringify(operations) });

  return (await response.json()) as unknown[];
}

describe('an argument with any value', () => {
  it.each([
    ['query', schema.getQueryType()!],
    ['mutation', schema.getMutationType()!],
  ])('of a %s is right, or wrong in a way that is told', async (operation, root) => {
    const cases = allCases(operation, root);
    expect(cases.length).toBeGreaterThan(500);
    const bugs: unknown[] = [];
    const worker = async () => {
      while (cases.length > 0) {
        const batch = cases.splice(0, IN_A_BATCH);
        const answers = await ask(batch);
        expect(answers).toHaveLength(batch.length);
        bugs.push(...batch.filter((_, i) => isABug(answers[i])));
      }
    };
    await Promise.all(Array.from({ length: BATCHES_AT_ONCE }, worker));

    expect(bugs).toEqual([]);
  });

  it('of a subscription too', async () => {
    const socket = await RawSocket.ready(system.url, { authorization: `Bearer ${author.client.accessToken}` });
    const cases = allCases('subscription', schema.getSubscriptionType()!);
    expect(cases.length).toBeGreaterThan(100);
    for (let begin = 0; begin < cases.length; begin += 50) {
      const some = cases.slice(begin, begin + 50);
      some.forEach(({ query, variables }, i) => socket.subscribe(`${begin + i}`, query, variables));
      const answered = new Map<string, unknown>();
      await eventually(
        () => {
          for (const { id, payload } of socket.unread.splice(0)) if (!answered.has(id!)) answered.set(id!, payload);
          return some.every((_, i) => answered.has(`${begin + i}`));
        },
        () => `each is answered: ${JSON.stringify(some.filter((_, i) => !answered.has(`${begin + i}`)))}`,
      );
      some.forEach((_, i) => socket.complete(`${begin + i}`));
      expect(some.filter((_, i) => isABug(answered.get(`${begin + i}`)))).toEqual([]);
    }
    expect(socket.websocket.readyState).toBe(socket.websocket.OPEN);
    socket.close();
  });

  it('is logged as no bug', () => {
    const lines = system.gateways[0]!.log(Infinity).trim().split('\n');
    expect(lines.filter((line) => (JSON.parse(line) as { level: number }).level >= 50)).toEqual([]);
  });
});
