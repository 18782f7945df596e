/**
 * What a hostile or a broken client sends: valid requests of every transport, changed by a rule of their grammar or byte by byte. The same
 * seed and number make the same attack.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  buildSchema,
  getNamedType,
  isCompositeType,
  isEnumType,
  isInputObjectType,
  isLeafType,
  isListType,
  isNonNullType,
  isObjectType,
  isUnionType,
  type GraphQLArgument,
  type GraphQLInputType,
  type GraphQLNamedType,
} from 'graphql';
import type { Random } from '../consistency/random.js';
import { frame, OPCODES } from './frames.js';

export interface Attack {
  /** Which kind, for people. */
  kind: string;
  /** Written to a connection one after another. */
  chunks: Buffer[];
  /** After how many of them to wait for the gateway's answer: a socket is good for little before it is acknowledged. */
  waitAfter: number;
  /** The connection is reset right after the last chunk. */
  isReset: boolean;
}

/** What an attacker may know. */
export interface Known {
  accessToken: string;
  ids: string[];
  names: string[];
}

export const schema = buildSchema(readFileSync(join(import.meta.dirname, '../../schema.graphql'), 'utf8'));

/** Texts over which servers have stumbled. */
export const TEXTS = [
  ...['', ' ', '\0', 'a\0b', '\ud800', '\udc00\ud800', 'a\ud800@example.org', '\u{10ffff}', '\ufffe\uffff', '\ufeff', '\u202e', '\u2028'],
  ...[
    '__proto__',
    'constructor',
    'toString',
    'null',
    'undefined',
    'NaN',
    '%',
    '%00',
    '%E0%A4%A',
    '*',
    '>',
    'a.b.>',
    '\r\nX: y',
    '{}',
    '[]',
  ],
  ...["' OR 1=1 --", '${x}', '../../etc/passwd', 'ß', 'İ', '9'.repeat(400), '-0', '1e999', 'x'.repeat(5_000), '😀'.repeat(2_000)],
  ...[
    'e\u0301'.repeat(600),
    'Z' + '\u0334'.repeat(1_500),
    'eyJlIjoiYSIsInAiOjFlMzA4LCJpIjpudWxsfQ',
    'ffffffff-ffff-ffff-ffff-ffffffffffff',
  ],
  ...['0001-01-01T00:00:00Z', '+275760-09-13T00:00:00Z', '2016-12-31T23:59:60Z', '2024-02-30', '0000-00-00'],
];
const NUMBERS = [0, -0, 1, -1, 100, 101, 2 ** 31 - 1, 2 ** 31, -(2 ** 31), 1e308, 1.5, Number.MAX_SAFE_INTEGER + 2];
const SYNTAX = [
  '{',
  '}',
  '[',
  ']',
  '(',
  ')',
  '"',
  '"""',
  '\\',
  '\\u',
  '#',
  '$',
  '@',
  '!',
  '...',
  ':',
  ',',
  '\0',
  '\ufeff',
  '\r',
  'on',
  'fragment',
  'null',
];

const deep = (levels: number, open: string, inside: string, close: string) => open.repeat(levels) + inside + close.repeat(levels);

/** Makes the attacks of one number. */
export class Attacks {
  constructor(
    private readonly random: Random,
    private readonly known: Known,
  ) {}

  next(): Attack {
    const { random } = this;
    const make = random.pick([
      () => this.post(),
      () => this.post(),
      () => this.get(),
      () => this.eventStream(),
      () => this.socket(),
      () => this.socket(),
      () => this.upgrade(),
      () => this.garbage(),
    ]);
    const { kind, parts } = make();
    const bytes = random.chance(0.15) ? parts.map((part) => (random.chance(0.3) ? this.damaged(part) : part)) : parts;

    const isCut = random.chance(0.1);
    const waitAfter = kind === 'socket' && !isCut && random.chance(0.9) ? 2 : 0;

    return { kind, chunks: isCut ? this.cut(bytes) : bytes, waitAfter, isReset: random.chance(0.1) };
  }

  // ---- GraphQL

  private text(): string {
    const { random, known } = this;
    if (random.chance(0.3)) return random.pick([...known.ids, ...known.names]);
    if (random.chance(0.2)) return random.pick(TEXTS) + random.pick(TEXTS);

    return random.pick(TEXTS);
  }

  /** A value for an input, mostly of its type. */
  private value(type: GraphQLInputType, levels = 0): unknown {
    const { random } = this;
    if (random.chance(0.03)) return this.anything(levels);
    if (isNonNullType(type)) return this.value(type.ofType, levels) ?? this.text();
    if (random.chance(0.1)) return null;
    if (isListType(type)) return Array.from({ length: random.integer(0, 3) }, () => this.value(type.ofType, levels + 1));
    if (isEnumType(type)) return random.pick(type.getValues()).name;
    if (isInputObjectType(type)) {
      const fields = Object.values(type.getFields()).filter((field) => isNonNullType(field.type) || random.chance(0.4));
      return Object.fromEntries(fields.map((field) => [field.name, this.value(field.type, levels + 1)]));
    }
    if (type.name === 'Int' || type.name === 'Float') return random.chance(0.8) ? random.integer(1, 100) : random.pick(NUMBERS);
    if (type.name === 'DateTime' && random.chance(0.7)) return `20${random.integer(10, 40)}-01-01T00:00:00Z`;
    if (type.name === 'Boolean') return random.chance(0.5);

    return this.text();
  }

  private anything(levels = 0): unknown {
    const { random } = this;
    const kind = random.integer(0, levels > 3 ? 4 : 6);
    if (kind === 0) return null;
    if (kind === 1) return random.pick(NUMBERS);
    if (kind === 2) return random.chance(0.5);
    if (kind <= 4) return this.text();
    if (kind === 5) return Array.from({ length: random.integer(0, 4) }, () => this.anything(levels + 1));

    return Object.fromEntries(Array.from({ length: random.integer(0, 4) }, () => [this.text().slice(0, 50), this.anything(levels + 1)]));
  }

  /** As GraphQL writes it. */
  private literal(value: unknown): string {
    if (Array.isArray(value)) return `[${value.map((one) => this.literal(one)).join(' ')}]`;
    if (typeof value === 'object' && value !== null) {
      return `{${Object.entries(value)
        .map(([name, one]) => `${name}: ${this.literal(one)}`)
        .join(' ')}}`;
    }
    if (typeof value === 'string' && /^[A-Z_]+$/.test(value)) return value;
    if (typeof value === 'number' && this.random.chance(0.1))
      return this.random.pick(['1e999', '-1e999', '1e-400', '-0', '00', '0x1', '1.']);

    return JSON.stringify(value) ?? 'null';
  }

  /** An operation, with its variables. */
  operation(kind = this.random.pick(['query', 'query', 'query', 'mutation', 'subscription'])): Record<string, unknown> {
    const { random } = this;
    const root = { query: schema.getQueryType()!, mutation: schema.getMutationType()!, subscription: schema.getSubscriptionType()! }[kind]!;
    const definitions: string[] = [];
    const variables: Record<string, unknown> = {};
    const fragments: string[] = [];
    let aliases = 0;
    const args = (all: readonly GraphQLArgument[]) => {
      const given = all.filter((one) => isNonNullType(one.type) || random.chance(0.5));
      const texts = given.map((one) => {
        const value = this.value(one.type);
        // What is not well-formed can only come in by a variable.
        const literal = this.literal(value);
        if (random.chance(0.4) && !/\\u[dD][89a-fA-F]/.test(literal)) return `${one.name}: ${literal}`;
        const name = random.chance(0.02) ? '__proto__' : `v${definitions.length}`;
        definitions.push(`$${name}: ${one.type.toString()}${random.chance(0.05) ? ` = ${this.literal(this.value(one.type))}` : ''}`);
        if (random.chance(0.9)) variables[name] = value;
        return `${one.name}: $${name}`;
      });
      return texts.length > 0 ? `(${texts.join(' ')})` : '';
    };
    const directive = () =>
      random.chance(0.05) ? random.pick([' @skip(if: true)', ' @include(if: false)', ' @skip(if: false)', ' @include(if: true)']) : '';
    const select = (type: GraphQLNamedType, levels: number): string => {
      if (!isCompositeType(type) || isLeafType(type)) return '';
      const ofThis = isUnionType(type) ? [] : Object.values(type.getFields());
      const possible = isObjectType(type) ? [] : schema.getPossibleTypes(type);
      const usable = ofThis.filter((field) => levels > 0 || isLeafType(getNamedType(field.type)));
      const chosen = Array.from({ length: type === root && kind === 'subscription' ? 1 : random.integer(1, 4) }, () => {
        if (possible.length > 0 && random.chance(0.6)) {
          const one = random.pick(possible);
          return `... on ${one.name}${directive()} ${select(one, levels - 1)}`;
        }
        if (random.chance(0.08)) {
          const name = random.chance(0.1) ? 'f0' : `f${fragments.length}`;
          fragments.push('');
          fragments[fragments.length - 1] = `fragment ${name} on ${type.name} ${select(type, levels - 1)}`;
          return `...${name}${directive()}`;
        }
        const field = usable.length > 0 ? random.pick(usable) : null;
        if (!field) return '__typename';
        const names = ['__proto__', 'constructor', 'x'.repeat(500), '__typename'];
        const alias = random.chance(0.02) ? `${random.pick(names)}: ` : field.args.length > 0 ? `a${aliases++}: ` : '';
        return `${alias}${field.name}${args(field.args)}${directive()} ${select(getNamedType(field.type), levels - 1)}`;
      });
      return `{ ${chosen.join(' ')} }`;
    };
    const selection = select(root, random.integer(1, 5));
    const head = `${kind} ${random.chance(0.5) ? 'A' : ''}${definitions.length > 0 ? `(${definitions.join(' ')})` : ''}`;
    const query = [`${head} ${selection}`, ...fragments].join(' ');

    return { query: random.chance(0.1) ? this.damagedText(query) : query, variables };
  }

  /** Documents that cost more than their length. */
  private bomb(): Record<string, unknown> {
    const { random } = this;
    const n = random.pick([20, 90, 150, 400, 1_000, 100_000]);
    const few = Math.min(n, 150);
    if (random.chance(0.1)) {
      const many = Math.min(n, 50_000);
      const [query, variables] = random.pick<[string, object]>([
        ['query ($ids: [ID!]!) { nodes(ids: $ids) { id } }', { ids: Array.from({ length: many }, () => 0.5) }],
        [
          'mutation ($input: PostCheepInput!) { postCheep(input: $input) { status } }',
          { input: Object.fromEntries(Array.from({ length: Math.min(many, 15_000) }, (_, i) => [`message${i}`, 0])) },
        ],
      ]);
      return { query, variables };
    }
    const chain = (spreads: (i: number) => string, on = 'Author') =>
      Array.from({ length: few }, (_, i) => `fragment f${i} on ${on} { ${spreads(i)} }`).join(' ') + ` fragment f${few} on ${on} { id }`;
    const query = random.pick([
      () => deep(n, '{a', '', '}'),
      () => `{viewer${deep(n, '{followers{nodes', '{id}', '}}')}}`,
      () => `{author(id: ${deep(n, '[', '1', ']')}) {id}}`,
      () => `{author(id: ${'['.repeat(n)}`,
      () => `mutation {postCheep(input: ${deep(n, '{message: ', '1', '}')}) {status}}`,
      () => `query ($a: ${deep(n, '[', 'Int', ']')}) {__typename}`,
      () => `{ ${'... {'.repeat(few)} __typename ${'}'.repeat(few)} }`,
      () =>
        `{ ${Array.from({ length: few }, (_, i) => `a${i}: __schema { types { fields { args { name type { name } } } } }`).join(' ')} }`,
      () => `{ viewer { ...f0 } } ${chain((i) => `...f${i + 1} ...f${Math.min(i + 2, few)}`)}`,
      () => `{ viewer { ...f0 } } ${chain((i) => `followers { nodes { ...f${(i + 1) % few} ...f${(i + 2) % few} } }`)}`,
      () => `{ viewer { ...f0 } } ${chain((i) => `a: followers { nodes { ...f${i + 1} } } b: followers { nodes { ...f${i + 1} } }`)}`,
      () => `{ ${'viewer { followers { nodes { id } } } '.repeat(few)} }`,
      () => `{ author(id: "${'x'.repeat(n)}") { id } }`,
      () => `{ author(id: """${'\n x'.repeat(n)}""") { id } }`,
      () => `{ ${'a'.repeat(n)} }`,
      () => `${'# '.repeat(n)}\n{ __typename }`,
      () => `{ __typename ${'@skip(if: false) '.repeat(few)} }`,
      () => `{ __typename } ${'{ __typename } '.repeat(few)}`,
    ])();

    return { query };
  }

  /** The text of a request for an operation, as a body or in a message. */
  private request(kind?: string): string {
    const { random } = this;
    const operation = random.chance(0.15) ? this.bomb() : this.operation(kind);
    if (random.chance(0.1)) operation.operationName = this.anything();
    if (random.chance(0.1)) operation.extensions = this.anything();
    if (random.chance(0.05)) operation.variables = this.anything();
    if (random.chance(0.03)) operation[random.pick(['query', '__proto__', 'id'])] = this.anything();
    const json = JSON.stringify(operation);
    if (random.chance(0.04)) return json.replace(/\}$/, `,"extensions":${deep(random.pick([99, 101, 100_000]), '[', '', ']')}}`);
    if (random.chance(0.03)) return json.replace(/\}$/, `,"variables":${deep(random.pick([99, 20_000]), '{"a":', '1', '}')}}`);
    if (random.chance(0.03)) return json.replace(/^\{/, '{"query":"{ __typename }","query":1,"__proto__":{"a":1},');

    return random.chance(0.08) ? this.damagedText(json) : json;
  }

  // ---- HTTP

  private headers(more: string[]): string {
    const { random, known } = this;
    const all = [
      `Host: ${random.chance(0.9) ? 'localhost' : random.pick(['', '[', '[::1]:x', 'a b', '\xff', 'x:99999', 'x, y'])}`,
      `Authorization: ${random.chance(0.7) ? `Bearer ${known.accessToken}` : random.pick(['', 'Bearer', 'Bearer ..', 'Basic \xff', 'bearer  a b'])}`,
      ...more,
      ...(random.chance(0.7) ? ['Connection: close'] : []),
    ];
    const odd = [
      'Cookie: cheeper_session=%; cheeper_consistency=%E0%A4%A; =; ;;; __proto__=1',
      'Cookie: cheeper_session=a.b.c; cheeper_session="',
      'X-Cheeper-Consistency: x,,,y',
      'X-Cheeper-Wait-Ms: 1e999',
      'X-Cheeper-Wait-Ms: -1',
      'X-Cheeper-Read: maybe',
      'X-Request-Id: \xe9\t',
      'Traceparent: 00-x',
      'Accept: ;;,*/*;q=x, text/event-stream;q=0',
      'Accept: multipart/mixed; deferSpec=20220824',
      'Content-Encoding: gzip',
      'Expect: 100-continue',
      'Expect: x',
      'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk',
      'Transfer-Encoding: chunked',
      'Content-Length: 5',
      'Origin: http://[',
      'X-Forwarded-For: ,,x',
      `X-Long: ${'x'.repeat(20_000)}`,
      ...['Content-Type: ;;;', 'Content-Type: text/plain', 'Content-Type: application/json; charset=x', ': x', 'x', 'A: b\0c'],
    ];
    while (random.chance(0.15)) all.splice(random.integer(0, all.length), 0, random.pick(odd));

    return all.map((line) => `${line}\r\n`).join('');
  }

  private path(): string {
    const { random } = this;

    return random.chance(0.85)
      ? random.pick(['/graphql', '/graphql', '/graphql/stream'])
      : random.pick([
          '/',
          '/%',
          '/graphql%ff',
          '//',
          '*',
          '/graphql/../graphql',
          'http://[',
          'http://x/graphql',
          '/healthz',
          '/ruru/%00',
          '/ruru/..%2f',
        ]);
  }

  private post(more: string[] = []) {
    const { random } = this;
    // An operation that comes again is executed by the plan of the first.
    const again = this.request();
    const bodies = Array.from({ length: random.chance(0.2) ? random.integer(0, 12) : 1 }, () =>
      random.chance(0.5) ? again : this.request(),
    );
    const strange = () =>
      random.pick([
        '',
        'null',
        '1',
        '[]',
        '[null]',
        '[1,[],{}]',
        '"x"',
        '\ufeff{"query":"{ __typename }"}',
        '{}',
        deep(100_000, '[', '', ']'),
      ]);
    const body = random.chance(0.07) ? strange() : bodies.length === 1 ? bodies[0]! : `[${bodies.join()}]`;
    const bytes = Buffer.from(body);
    const length = random.chance(0.97) ? bytes.length : random.integer(0, 2 * bytes.length);
    const method = random.chance(0.95)
      ? 'POST'
      : random.pick(['PUT', 'DELETE', 'PATCH', 'OPTIONS', 'HEAD', 'TRACE', 'CONNECT', 'QUERY', 'X']);
    const isChunked = random.chance(0.1);
    const framing = isChunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${length}`;
    const version = random.chance(0.97) ? '1.1' : random.pick(['1.0', '2.0', '0.9', '9']);
    const head = `${method} ${this.path()} HTTP/${version}\r\n${this.headers(['Content-Type: application/json', framing, ...more])}\r\n`;
    const chunked = [Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from('\r\n0\r\nX: y\r\n\r\n')];

    return { kind: 'post', parts: [Buffer.from(head, 'latin1'), ...(isChunked ? chunked : [bytes])] };
  }

  private get() {
    const { random } = this;
    const operation = this.operation('query');
    const parameters = random.chance(0.9)
      ? new URLSearchParams({ query: String(operation.query), variables: JSON.stringify(operation.variables) }).toString().slice(0, 15_000)
      : random.pick([
          'query=%',
          'query={__typename}&query=x',
          'variables=[',
          `query={__typename}&variables={"a":${deep(6_000, '[', '', ']')}}`,
          '&&&=',
          'query[]=x',
        ]);

    return {
      kind: 'get',
      parts: [Buffer.from(`GET ${this.path()}?${parameters} HTTP/1.1\r\n${this.headers(['Apollo-Require-Preflight: yes'])}\r\n`, 'latin1')],
    };
  }

  private eventStream() {
    const { parts } = this.post(['Accept: text/event-stream']);

    return { kind: 'event stream', parts };
  }

  private garbage() {
    const { random } = this;
    const bytes = Buffer.from(Array.from({ length: random.integer(1, 400) }, () => random.integer(0, 255)));
    const tls = Buffer.from('16030100c8010000c40303', 'hex');
    const parts = random.pick([
      [bytes],
      [tls, bytes],
      [Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), bytes],
      [Buffer.from('CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n'), bytes],
      [Buffer.from(`GET / HTTP/1.1\r\nHost: x\r\n${'a: b\r\n'.repeat(3_000)}\r\n`)],
      [Buffer.from('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(50)), bytes],
    ]);

    return { kind: 'garbage', parts };
  }

  // ---- Websockets

  private handshake(more: string[] = []): Buffer {
    const lines = ['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='];
    const all = [...lines, 'Sec-WebSocket-Protocol: graphql-transport-ws', ...more];

    return Buffer.from(`GET /graphql HTTP/1.1\r\nHost: localhost\r\n${all.map((line) => `${line}\r\n`).join('')}\r\n`, 'latin1');
  }

  private upgrade() {
    const { random } = this;
    const odd = random.pick([
      'Sec-WebSocket-Key: x',
      'Sec-WebSocket-Version: 99',
      'Sec-WebSocket-Protocol: ,,;',
      'Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=99',
      'Cookie: cheeper_session=%; =;;',
      'Origin: http://[',
      'Content-Length: 10',
    ]);
    const text = this.handshake([odd]).toString('latin1');
    const method = random.chance(0.7) ? text : text.replace('GET', random.pick(['POST', 'HEAD', 'OPTIONS', 'CONNECT']));
    const version = random.chance(0.9) ? method : method.replace('HTTP/1.1', 'HTTP/1.0');
    const path = random.chance(0.8) ? version : version.replace('/graphql', random.pick(['/', '/%', '//', '/graphql?%', 'http://[']));

    return { kind: 'upgrade', parts: [Buffer.from(path, 'latin1'), this.initMessage()] };
  }

  private initMessage(): Buffer {
    const { random, known } = this;
    const payload = random.chance(0.7)
      ? { authorization: `Bearer ${known.accessToken}` }
      : random.chance(0.5)
        ? undefined
        : this.anything();

    return frame(Buffer.from(JSON.stringify({ type: 'connection_init', payload })), random);
  }

  private message(ids: string[]): string {
    const { random } = this;
    const id = random.chance(0.9) ? random.pick(ids) : this.text();
    const kind = random.chance(0.9) ? random.integer(0, 11) : random.integer(0, 19);
    if (kind < 8) return `{"id":${JSON.stringify(id)},"type":"subscribe","payload":${this.request()}}`;
    if (kind < 12) return JSON.stringify({ id, type: 'complete' });
    if (kind === 12) return JSON.stringify({ type: 'ping', payload: random.chance(0.5) ? undefined : { a: this.anything() } });
    if (kind === 13) return JSON.stringify({ type: 'pong', payload: { a: this.anything() } });
    if (kind === 14) return JSON.stringify({ type: 'ping', payload: { a: 'x'.repeat(random.integer(0, 200_000)) } });
    if (kind === 15)
      return random.pick([
        'null',
        '1',
        '[]',
        '{}',
        '"x"',
        'x',
        '',
        '\ufeff{}',
        '{"type":{}}',
        '{"type":"ping","payload":1}',
        '{"type":"next","id":"1","payload":{}}',
      ]);
    if (kind === 16) return `{"type":"ping","payload":{"a":${deep(random.pick([98, 99, 50_000]), '[', '', ']')}}}`;
    if (kind === 17) return JSON.stringify({ id: this.anything(), type: this.anything(), payload: this.anything() });
    if (kind === 18) return JSON.stringify({ type: 'connection_init' });

    return this.damagedText(JSON.stringify({ id, type: 'subscribe', payload: this.operation() }));
  }

  private socket() {
    const { random } = this;
    const ids = [
      '1',
      '2',
      random.pick(TEXTS),
      'i'.repeat(random.pick([93, 94, 123, 200, 5_000])),
      'ü'.repeat(60),
      '__proto__',
      'constructor',
    ];
    const parts = [this.handshake()];
    if (random.chance(0.95)) parts.push(this.initMessage());
    for (let i = random.integer(1, 25); i > 0; i--) {
      const kind = random.chance(0.9) ? 0 : random.integer(24, 29);
      const bytes = Buffer.from(this.message(ids));
      if (kind < 24) parts.push(frame(bytes, random));
      else if (kind === 24)
        parts.push(frame(bytes.subarray(0, 10), random, { isLast: false }), frame(bytes.subarray(10), random, { opcode: 0 }));
      else if (kind === 25) parts.push(frame(bytes.subarray(0, random.integer(0, 200)), random, { opcode: random.pick(OPCODES) }));
      else if (kind === 26) parts.push(frame(bytes, random, { isMasked: false }));
      else if (kind === 27) parts.push(frame(Buffer.from([0xff, 0xfe, 0xc0, 0x80]), random));
      else if (kind === 28) parts.push(...Array.from({ length: 300 }, () => frame(Buffer.alloc(125), random, { opcode: 9 })));
      else parts.push(frame(Buffer.from([random.integer(0, 255), random.integer(0, 255), 0xff]), random, { opcode: 8 }));
    }
    // The case that once ended the process: the same id completed and begun again, all of it in one write.
    if (random.chance(0.2)) {
      const id = random.pick(ids);
      const begin = JSON.stringify({ id, type: 'subscribe', payload: { query: 'subscription { timeline { __typename } }' } });
      for (const text of [begin, JSON.stringify({ id, type: 'complete' }), begin, begin]) parts.push(frame(Buffer.from(text), random));
    }

    return { kind: 'socket', parts: random.chance(0.5) ? [...parts.slice(0, 2), Buffer.concat(parts.slice(2))] : parts };
  }

  // ---- Bytes

  private damagedText(text: string): string {
    const { random } = this;
    const at = random.integer(0, text.length);
    const end = Math.min(text.length, at + random.integer(0, 20));
    const inside = random.pick([
      () => '',
      () => random.pick(SYNTAX),
      () => this.text(),
      () => text.slice(at, end).repeat(random.integer(2, 200)),
    ])();

    return text.slice(0, at) + inside + text.slice(random.chance(0.5) ? at : end);
  }

  private damaged(bytes: Buffer): Buffer {
    const { random } = this;
    const changed = Buffer.from(bytes);
    for (let i = random.integer(1, 4); i > 0 && changed.length > 0; i--)
      changed[random.integer(0, changed.length - 1)] = random.integer(0, 255);

    return random.chance(0.2) ? changed.subarray(0, random.integer(0, changed.length)) : changed;
  }

  private cut(parts: Buffer[]): Buffer[] {
    return parts.flatMap((part) => {
      const at = this.random.integer(0, part.length);
      return [part.subarray(0, at), part.subarray(at)];
    });
  }
}
