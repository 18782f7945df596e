/** What the client changes in documents: they stay valid, and a server sees in them what the application meant. */
import { createHash, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { buildSchema, execute, isInputObjectType, isInterfaceType, parse, subscribe, validate, type GraphQLFieldMap } from 'graphql';
import {
  isSubscription,
  live,
  NOT_COMMANDS,
  NOT_LIVE,
  repeatable,
  textOf,
  textsOf,
  type Operation,
  type Payload,
} from '../client/documents.js';
import { manifestOf } from '../client/manifest.js';

const schema = buildSchema(readFileSync(join(import.meta.dirname, '../schema.graphql'), 'utf8'));
const fieldsOf = (type: { getFields(): GraphQLFieldMap<unknown, unknown> } | null | undefined) => Object.values(type!.getFields());
const ID = '0190a0b0-0000-7000-8000-000000000000';

/** The arguments of each root field that a server would call, in order. */
async function argumentsIn({ query, variables, operationName }: Payload): Promise<[field: string, args: Record<string, unknown>][]> {
  const document = parse(query);
  expect(validate(schema, document).map(({ message }) => `${message} ${query}`)).toEqual([]);
  const seen: [string, Record<string, unknown>][] = [];
  const roots = [...fieldsOf(schema.getMutationType()), ...fieldsOf(schema.getSubscriptionType())];
  const rootValue = Object.fromEntries(
    roots.map(({ name }) => [
      name,
      (args: Record<string, unknown>) => {
        seen.push([name, args]);
        return name in schema.getMutationType()!.getFields() ? { userErrors: [], status: 'COMMITTED' } : (async function* () {})();
      },
    ]),
  );
  const args = { schema, document, rootValue, variableValues: variables, operationName };
  const result = await (isSubscription({ query, operationName }) ? subscribe(args) : execute(args));
  expect('errors' in result ? result.errors : undefined).toBeUndefined();

  return seen;
}

const commandIdsIn = async (operation: Operation) => {
  const { payload } = repeatable(operation, randomUUID);

  return (await argumentsIn(payload)).map(([, { input }]) => (input as { commandId?: string } | undefined)?.commandId);
};

it('knows the mutations that take no commandId, and the subscriptions that have no cursor', () => {
  const withoutId = fieldsOf(schema.getMutationType()).filter(({ args }) => {
    const [input] = args.map(({ type }) => schema.getType(String(type).replace('!', '')));
    return !isInputObjectType(input) || !('commandId' in input.getFields());
  });
  expect(new Set(withoutId.map(({ name }) => name))).toEqual(NOT_COMMANDS);

  const withoutCursor = fieldsOf(schema.getSubscriptionType()).filter(({ type, args }) => {
    const event = schema.getType(String(type).replace('!', ''));
    return !args.some(({ name }) => name === 'after') || !isInterfaceType(event) || !('cursor' in event.getFields());
  });
  expect(new Set(withoutCursor.map(({ name }) => name))).toEqual(NOT_LIVE);
});

describe('a mutation', () => {
  const input = { message: 'Hello' };
  const withIds: [string, Operation, count: number][] = [
    ['a literal', { query: 'mutation { postCheep(input: {message: "Hello"}) { status } }' }, 1],
    ['a literal with null', { query: 'mutation { postCheep(input: {message: "Hello", commandId: null}) { status } }' }, 1],
    ['a variable', { query: 'mutation ($input: PostCheepInput!) { postCheep(input: $input) { status } }', variables: { input } }, 1],
    [
      'a variable in a literal',
      { query: 'mutation ($m: String!) { postCheep(input: {message: $m}) { status } }', variables: { m: 'Hello' } },
      1,
    ],
    ['an id that is absent', { query: 'mutation ($id: ID) { postCheep(input: {message: "Hello", commandId: $id}) { status } }' }, 1],
    [
      'an id that is null, with a default',
      {
        query: 'mutation ($id: ID = null) { postCheep(input: {message: "Hello", commandId: $id}) { status } }',
        variables: { id: undefined },
      },
      1,
    ],
    [
      'several commands',
      {
        query: `mutation ($input: PostCheepInput!) { a: postCheep(input: $input) { status } b: postCheep(input: {message: "Hello"}) { status }
          likeCheep(input: {cheepId: "${ID}"}) { status } }`,
        variables: { input },
      },
      3,
    ],
    [
      'fragments on the mutation',
      {
        query: `mutation { ...M ... on Mutation { a: postCheep(input: {message: "Hello"}) { status } } }
          fragment M on Mutation { ...N } fragment N on Mutation { b: postCheep(input: {message: "Hello"}) { status } }`,
      },
      2,
    ],
    [
      'one of several operations',
      {
        query: `mutation A($id: ID) { postCheep(input: {message: "A", commandId: $id}) { status } }
          mutation B($id: ID) { postCheep(input: {message: "B", commandId: $id}) { ...P } } fragment P on PostCheepPayload { status }`,
        operationName: 'B',
      },
      1,
    ],
    ['a document that is parsed already', { query: parse('mutation { postCheep(input: {message: "Hello"}) { status } }') }, 1],
  ];

  it.each(withIds)('with %s gets a commandId for each command', async (_, operation, count) => {
    const ids = await commandIdsIn(operation);
    expect(ids).toEqual(Array.from({ length: count }, () => expect.stringMatching(/^[0-9a-f-]{36}$/)));
    expect(new Set(ids).size).toBe(count);
    expect(repeatable(operation, randomUUID).isRepeatable).toBe(true);
  });

  it.each(withIds)('with %s is in the manifest of its document, as the client sends it', (_, operation) => {
    const texts = textsOf(operation.query);
    expect(texts).toContain(textOf(operation.query));
    expect(texts).toContain(repeatable(operation, randomUUID).payload.query);
  });

  it('keeps the id that it has', async () => {
    const variable = 'mutation ($input: PostCheepInput!) { postCheep(input: $input) { status } }';
    const inside = 'mutation ($id: ID) { postCheep(input: {message: "Hello", commandId: $id}) { status } }';
    const byDefault = `mutation ($id: ID = "${ID}") { postCheep(input: {message: "Hello", commandId: $id}) { status } }`;
    const literal = `mutation { postCheep(input: {message: "Hello", commandId: "${ID}"}) { status } }`;
    expect(await commandIdsIn({ query: variable, variables: { input: { ...input, commandId: ID } } })).toEqual([ID]);
    expect(await commandIdsIn({ query: inside, variables: { id: ID } })).toEqual([ID]);
    expect(await commandIdsIn({ query: byDefault })).toEqual([ID]);
    expect(await commandIdsIn({ query: literal })).toEqual([ID]);
  });

  it('is one command where its answer has one field, however often it is selected', async () => {
    const query = 'mutation { postCheep(input: {message: "Hello"}) { status } postCheep(input: {message: "Hello"}) { commandId } }';
    expect(await commandIdsIn({ query })).toHaveLength(1);
  });

  it('that takes no commandId, or whose two commands share one input, is left as it is', async () => {
    const logIn = { query: 'mutation { logIn(input: {usernameOrEmail: "a", password: "b"}) { author { id } } logOut }' };
    expect(repeatable(logIn, randomUUID)).toEqual({ kind: 'mutation', isRepeatable: true, payload: { ...logIn, variables: {} } });
    const shared = {
      query: 'mutation ($input: PostCheepInput!) { a: postCheep(input: $input) { status } b: postCheep(input: $input) { status } }',
      variables: { input },
    };
    expect(repeatable(shared, randomUUID)).toEqual({ kind: 'mutation', isRepeatable: false, payload: shared });
    expect(await commandIdsIn(shared)).toEqual([undefined, undefined]);
  });

  it('does not change what the application holds', () => {
    const variables = { input: Object.freeze({ ...input }) };
    const query = parse('mutation ($input: PostCheepInput!) { postCheep(input: $input) { status } }');
    const before = JSON.stringify(query);
    repeatable({ query, variables: Object.freeze(variables) }, randomUUID);
    expect(variables).toEqual({ input });
    expect(JSON.stringify(query)).toBe(before);
  });
});

it('leaves a query as it is', () => {
  const query = 'query ($id: ID!) { author(id: $id) { id } }';
  expect(repeatable({ query, variables: { id: ID } }, randomUUID)).toMatchObject({
    kind: 'query',
    payload: { query, variables: { id: ID } },
  });
});

describe('a subscription', () => {
  const forms: [string, Operation, initial: string | null][] = [
    ['no cursor', { query: 'subscription { timeline { __typename } }' }, null],
    ['a literal', { query: 'subscription { timeline(after: "first") { __typename } }' }, 'first'],
    [
      'a variable',
      { query: 'subscription ($after: String) { timeline(after: $after) { cursor } }', variables: { after: 'first' } },
      'first',
    ],
    ['an absent variable', { query: 'subscription ($after: String) { timeline(after: $after) { cursor } }' }, null],
    ['a default', { query: 'subscription ($after: String = "first") { timeline(after: $after) { cursor } }' }, 'first'],
    [
      'a variable that is used elsewhere too',
      {
        query: `subscription ($c: String) { thread(cheepId: "${ID}", after: $c) { ... on ReplyAdded { cheep { replies(after: $c) { nodes { id } } } } } }`,
        variables: { c: 'first' },
      },
      'first',
    ],
    [
      'an alias, in a fragment',
      { query: 'subscription { ...S } fragment S on Subscription { t: timeline(after: "first") { __typename } }' },
      'first',
    ],
    [
      'one of several operations',
      {
        query: `subscription A($after: String) { timeline(after: $after) { cursor } }
          subscription B($after: String) { author(id: "${ID}", after: $after) { cursor } }`,
        operationName: 'B',
        variables: { after: 'first' },
      },
      'first',
    ],
  ];

  it.each(forms)('with %s begins where the application says, and goes on where the client says', async (_, operation, initial) => {
    const subscription = live(operation)!;
    expect(subscription.after).toBe(initial);
    for (const after of [initial, 'later']) {
      const [[, args]] = (await argumentsIn(subscription.payload(after))) as [[string, { after: string | null }]];
      expect(args.after).toBe(after);
    }
  });

  it.each(forms)('with %s is in the manifest of its document, as the client sends it', (_, operation) => {
    const texts = textsOf(operation.query);
    expect(texts).toContain(textOf(operation.query));
    for (const after of [null, 'later']) expect(texts).toContain(live(operation)!.payload(after).query);
  });

  it('gives the application what it asked for, and nothing else', () => {
    const { take } = live({ query: 'subscription { t: timeline { cursor } }' })!;
    const data: Record<string, unknown> = { t: { cursor: 'c', cheeperCursor: 'c', cheeperType: 'CheepAdded' } };
    expect(take(data)).toEqual({ field: 'timeline', type: 'CheepAdded', cursor: 'c' });
    expect(data).toEqual({ t: { cursor: 'c' } });
  });

  it('that ends by itself has nothing to go on from', () => {
    expect(live({ query: `subscription { command(id: "${ID}") { status } }` })).toBeNull();
  });
});

it('a manifest has each text once, by its SHA-256, with what the client asks by itself, and without fragments that stand alone', async () => {
  const query = 'query ($id: ID!) { author(id: $id) { id } }';
  const manifest = await manifestOf([query, query, parse('fragment F on Author { id }')]);
  expect(Object.values(manifest)).toEqual(['{ __typename }', query]);
  for (const [id, text] of Object.entries(manifest)) expect(id).toBe(`sha256:${createHash('sha256').update(text).digest('hex')}`);
});
