/** Documents that would overflow the stack, or never end, are refused before graphql-js walks through them; ordinary ones are not. */
import { createHash } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { getIntrospectionQuery } from 'graphql';
import { Operations } from './operations.js';
import type { ClientAddress } from './origins.js';
import { createSchema } from './schema.js';

const operations = new Operations(createSchema());
const AT_HOME: ClientAddress = { network: '192.0.2.1', isLoopback: false };
const checked = (query: string, variables?: Record<string, unknown>) => {
  const found = operations.check({ query, variables }, AT_HOME);

  return Array.isArray(found) ? found.map(({ extensions }) => extensions.code) : 'may run';
};
const deep = (levels: number, open: string, inside: string, close: string) => open.repeat(levels) + inside + close.repeat(levels);
const chain = (length: number, next: (i: number) => string) =>
  `{ viewer { ...f0 } } ${Array.from({ length }, (_, i) => `fragment f${i} on Author { ${next(i)} }`).join(' ')} fragment f${length} on Author { id }`;

describe('a document', () => {
  it.each([
    ['selections', deep(100_000, '{a', '', '}')],
    ['selections that do not end', '{a'.repeat(100_000)],
    ['inline fragments', `{ ${deep(300, '... {', ' __typename ', '}')} }`],
    ['lists', `{ author(id: ${deep(100_000, '[', '1', ']')}) { id } }`],
    ['lists that do not end', `{ author(id: ${'['.repeat(1_980)}`],
    ['objects', `mutation { postCheep(input: ${deep(100_000, '{message: ', '1', '}')}) { status } }`],
    ['types', `query ($a: ${deep(100_000, '[', 'Int', ']')}) { __typename }`],
  ])('that nests %s too deeply is refused', (_, query) => {
    expect(checked(query)).toEqual(['GRAPHQL_PARSE_FAILED']);
  });

  it('may be nested as deeply as anybody does, and say brackets in texts and comments', () => {
    expect(checked(`{ ${deep(98, '... {', ' __typename ', '}')} }`)).toBe('may run');
    expect(checked(`{ author(id: "${'[{('.repeat(500)}") { id } } # ${'[{('.repeat(500)}`)).toBe('may run');
    expect(checked(`{ author(id: """${'\n[{('.repeat(500)}""") { id } }`)).toBe('may run');
  });

  it.each([
    ['itself', `{ viewer { ...f } } fragment f on Author { id ...f }`],
    ['itself, below fields', chain(30, (i) => `followers { nodes { ...f${(i + 1) % 30} ...f${(i + 2) % 30} id } }`)],
    ['itself, a long way round', chain(150, (i) => `...f${(i + 1) % 150}`)],
  ])('whose fragments spread %s is refused', (_, query) => {
    expect(checked(query)).toContain('GRAPHQL_VALIDATION_FAILED');
  });

  it.each([
    ['leaves', chain(100, (i) => `...f${i + 1} ...f${Math.min(i + 2, 100)} a${i}: id`)],
    ['objects', chain(60, (i) => `a: followers { nodes { ...f${i + 1} } } b: followers { nodes { ...f${i + 1} } }`)],
  ])('whose fragments multiply %s is refused without being expanded', (_, query) => {
    const start = performance.now();
    expect(checked(query)).toEqual(['BAD_USER_INPUT']);
    expect(performance.now() - start).toBeLessThan(10_000);
  });

  it('with very much that is wrong in its variables is told at once what is wrong, as far as it is described', () => {
    const query = 'query ($ids: [ID!]!) { nodes(ids: $ids) { id } }';
    const start = performance.now();
    expect(checked(query, { ids: Array.from({ length: 900 }, () => 0.5) })).toEqual(Array.from({ length: 51 }, () => 'BAD_USER_INPUT'));
    expect(checked(query, { ids: Array.from({ length: 60_000 }, () => 0.5) })).toEqual(['BAD_USER_INPUT']);
    expect(performance.now() - start).toBeLessThan(3_000);
  });

  it('may use fragments in many places', () => {
    expect(checked(chain(100, (i) => `...f${i + 1}`))).toBe('may run');
  });
});

describe('introspection', () => {
  // What GraphiQL, Apollo, urql, Relay and code generators send, with every option that there is.
  const all = {
    descriptions: true,
    specifiedByUrl: true,
    directiveIsRepeatable: true,
    schemaDescription: true,
    inputValueDeprecation: true,
    oneOf: true,
  };

  it('may be asked for whole, by any tool', () => {
    for (const options of [{}, all, { ...all, typeDepth: 9 }]) expect(checked(getIntrospectionQuery(options))).toBe('may run');
  });

  it('is counted object by object, however often and under whatever names it is asked for', () => {
    const [query, ...fragments] = getIntrospectionQuery(all).split('fragment FullType');
    const [, inner] = /\{\s*(__schema [^]*)\}\s*$/.exec(query!)!;
    const times = (n: number) =>
      `{ ${Array.from({ length: n }, (_, i) => inner!.replace('__schema', `a${i}: __schema`)).join(' ')} } fragment FullType${fragments.join()}`;
    expect(checked(times(2))).toBe('may run');
    expect(checked(times(68))).not.toBe('may run');
    const short = (n: number) => `{ ${Array.from({ length: n }, (_, i) => `a${i}: __schema { types { fields { name } } }`).join(' ')} }`;
    expect(checked(short(5))).toBe('may run');
    expect(checked(short(68))).toEqual(['BAD_USER_INPUT']);
    expect(checked(`{ ...A ...B } fragment A on Query { ${short(20).slice(1)} fragment B on Query { ${short(20).slice(1)}`)).toEqual([
      'BAD_USER_INPUT',
    ]);
  });

  it('of a type is counted for the type that is named, whichever was named before', () => {
    const inner = '{ fields { type { ofType { fields { type { name } } } } args { type { ofType { inputFields { type { name } } } } } } }';
    const query = `query ($name: String!) { ${Array.from({ length: 40 }, (_, i) => `a${i}: __type(name: $name) ${inner}`).join(' ')} }`;
    expect(checked(query, { name: 'Nothing' })).toBe('may run');
    expect(checked(query, { name: 'PageInfo' })).toBe('may run');
    expect(checked(query, { name: 'Mutation' })).toEqual(['BAD_USER_INPUT']);
    expect(checked(query, { name: 'PageInfo' })).toBe('may run');
  });

  it('that is skipped, or a mere __typename, costs nothing', () => {
    const fields = Array.from({ length: 50 }, (_, i) => `a${i}: __schema @skip(if: true) { types { fields { name } } } b${i}: __typename`);
    expect(checked(`{ ${fields.join(' ')} }`)).toBe('may run');
  });
});

describe('documents that were checked', () => {
  const large = (name: string) => `query ${name} { nodes(ids: [${Array.from({ length: 1_900 }, (_, i) => i).join(' ')}]) { id } }`;

  it('stay known when one address asks for very many others, as soon as two addresses have asked for them', () => {
    const all = new Operations(createSchema());
    const [here, there, flooding] = ['192.0.2.1', '192.0.2.2', '192.0.2.3'].map((network) => ({ network, isLoopback: false }));
    const query = '{ viewer { id } }';
    for (const address of [here!, there!]) all.check({ query }, address);
    for (let i = 0; i < 60; i++) all.check({ query: large(`Flood${i}`) }, flooding!);
    expect(all.isKnown(query)).toBe(true);
    expect([0, 59].map((i) => all.isKnown(large(`Flood${i}`)))).toEqual([false, true]);
  });

  it('take little memory for spaces', () => {
    const all = new Operations(createSchema());
    all.check({ query: `{ __typename${' '.repeat(99_000)}}` }, AT_HOME);
    expect(all.bytes).toBeLessThan(250_000);
  });

  it('are told of once, when they are new', () => {
    const all = new Operations(createSchema());
    const told: number[] = [];
    all.onNew = (_, characters) => told.push(characters);
    for (let i = 0; i < 3; i++) all.checkAll(['{ __typename }', '{ __typename }', '{ nothing }'], AT_HOME);
    expect(told).toEqual(['{ __typename }'.length]);
  });

  it('are there by their hash for as long as a request holds them, whatever else is asked for', () => {
    const all = new Operations(createSchema());
    const query = '{ viewer { name } }';
    const hash = createHash('sha256').update(query).digest('hex');
    const checkedOnce = all.checkAll([query], AT_HOME);
    if (!(checkedOnce instanceof Map)) throw new Error('It is valid.');
    const letGo = all.hold(checkedOnce);
    for (let i = 0; i < 60; i++) all.check({ query: large(`Flood${i}`) }, AT_HOME);
    expect([all.isKnown(query), all.withHash(hash)?.kind]).toEqual([false, 'Document']);
    letGo();
    expect(all.withHash(hash)).toBeUndefined();
  });
});

describe('the kind of an operation', () => {
  it.each([
    ['query', '{ viewer { id } }', null],
    ['mutation', 'mutation { logOut { status } }', null],
    ['subscription', 'query A { viewer { id } } subscription B { timeline { cursor } }', 'B'],
    [null, 'mutation {', null],
    [null, 'mutation A { __typename } subscription B { __typename }', null],
    [null, 7, null],
  ])('is %j: %s', async (kind, query, operationName) => {
    expect(await operations.kindOf(query, operationName, AT_HOME)).toBe(kind);
  });

  it('of a document that is not known is looked for when it is its turn', async () => {
    const others = ['one', 'two', 'three'].map((name) => `query ${name} { viewer { id } }`);
    const order: string[] = [];
    const checks = others.map((query) => operations.inTurn([query], AT_HOME.network, () => void order.push('another')));
    const kind = operations.kindOf('mutation Unknown { logOut { status } }', null, AT_HOME).then(() => order.push('the kind'));
    await Promise.all([...checks, kind]);
    expect(order).toEqual(['another', 'another', 'another', 'the kind']);
  });
});
