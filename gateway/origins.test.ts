import type { IncomingHttpHeaders } from 'node:http';
import { describe, expect, it } from '@jest/globals';
import { createLog } from '../shared/log.js';
import { readConfig } from '../shared/config.js';
import { Origins, type IncomingRequest } from './origins.js';

const log = createLog('gateway', 'silent');
const originsOf = (env: Record<string, string> = {}) =>
  new Origins(readConfig(['PUBLIC_ORIGINS', 'ALLOWED_ORIGINS', 'TRUST_PROXY'], env), log);
const request = (headers: IncomingHttpHeaders, remoteAddress = '127.0.0.1') =>
  ({ headers, socket: { remoteAddress } }) as unknown as IncomingRequest;
const PROXIES = { TRUST_PROXY: '10.0.0.0/8, ::1, loopback' };

describe('a request is of our own', () => {
  it.each<[string, string]>([
    ['http://localhost:4000', 'localhost:4000'],
    ['http://localhost:4000', 'LocalHost:4000'],
    ['HTTP://LOCALHOST:4000', 'localhost:4000'],
    ['https://example.org', 'example.org'],
    ['https://example.org', 'example.org:443'],
    ['https://example.org:443', 'example.org'],
    ['http://example.org', 'Example.ORG:80'],
    ['https://example.org:8443', 'example.org:8443'],
    ['http://[::1]:4000', '[::1]:4000'],
    ['http://[0:0:0:0:0:0:0:1]:4000', '[::1]:4000'],
    ['http://127.0.0.1', '127.0.0.1:80'],
    ['https://xn--bcher-kva.example', 'bücher.example'],
    ['https://xn--bcher-kva.example', 'XN--BCHER-KVA.example:443'],
  ])('where its Origin %s is that of its Host %s', (origin, host) => {
    expect(originsOf().isOwn(request({ origin, host }))).toBe(true);
  });

  it.each<[string, string]>([
    ['https://evil.example', 'example.org'],
    ['http://localhost:4001', 'localhost:4000'],
    ['https://example.org', 'example.org:80'],
    ['http://example.org', 'example.org:443'],
    ['https://example.org.evil.example', 'example.org'],
    ['https://sub.example.org', 'example.org'],
    ['null', 'null'],
    ['', ''],
    ['example.org', 'example.org'],
    ['https://example.org/', 'example.org'],
    ['https://example.org, https://evil.example', 'example.org'],
    ['https://evil.example@example.org', 'example.org'],
    ['file://', 'example.org'],
    ['https://example.org', 'user@example.org'],
    ['https://example.org', 'example.org, evil.example'],
    ['https://example.org', ''],
  ])('but not where its Origin is %j and its Host %j', (origin, host) => {
    expect(originsOf().isOwn(request({ origin, host }))).toBe(false);
  });

  it('where no page sent it, or the browser says that the page is ours, whatever has become of Host', () => {
    const own = (headers: IncomingHttpHeaders) => originsOf().isOwn(request({ host: 'upstream:4000', ...headers }));
    expect(own({})).toBe(true);
    expect(own({ origin: 'http://localhost:5173', 'sec-fetch-site': 'same-origin' })).toBe(true);
    expect(own({ 'sec-fetch-site': 'none' })).toBe(true);
    for (const site of ['cross-site', 'same-site', 'same-origin, cross-site', 'SAME-ORIGIN', ''])
      expect({ site, own: own({ 'sec-fetch-site': site, origin: 'http://upstream:4000' }) }).toEqual({ site, own: false });
  });

  it('where PUBLIC_ORIGINS names its Origin; one of ALLOWED_ORIGINS is not ours', () => {
    const origins = originsOf({
      PUBLIC_ORIGINS: 'https://Example.org:443',
      ALLOWED_ORIGINS: 'https://friend.example,capacitor://localhost',
    });
    const host = 'upstream:4000';
    expect(origins.isOwn(request({ host, origin: 'https://example.org' }))).toBe(true);
    expect(origins.isOwn(request({ host, origin: 'http://example.org' }))).toBe(false);
    for (const origin of ['https://friend.example', 'https://friend.example:443', 'capacitor://localhost']) {
      expect(origins.isOwn(request({ host, origin }))).toBe(false);
      expect(origins.isAllowed(origin)).toBe(true);
    }
    for (const origin of ['http://friend.example', 'null', undefined]) expect(origins.isAllowed(origin)).toBe(false);
  });
});

describe('what a proxy says', () => {
  const origin = 'https://example.org';
  const said: [string, IncomingHttpHeaders][] = [
    ['X-Forwarded-Host', { 'x-forwarded-host': 'example.org', 'x-forwarded-proto': 'https' }],
    ['X-Forwarded-Host with a port and capitals', { 'x-forwarded-host': 'EXAMPLE.org:443', 'x-forwarded-proto': 'HTTPS' }],
    ['X-Forwarded-Port', { 'x-forwarded-host': 'example.org', 'x-forwarded-proto': 'https', 'x-forwarded-port': '443' }],
    ['Forwarded', { forwarded: 'for=192.0.2.1;host=example.org;proto=https' }],
    ['Forwarded with quotes and capitals', { forwarded: 'For="[2001:db8::1]:4711"; Host="example.org:443"; Proto=HTTPS' }],
  ];

  it.each(said)('in %s is believed of those that are told, and of nobody else', (_, headers) => {
    const arrived = (address: string) => request({ host: 'upstream:4000', origin, ...headers }, address);
    for (const [env, address, isBelieved] of [
      [PROXIES, '10.1.2.3', true],
      [PROXIES, '::ffff:10.1.2.3', true],
      [PROXIES, '::1', true],
      [PROXIES, '127.0.0.1', true],
      [PROXIES, '192.0.2.1', false],
      [{ TRUST_PROXY: 'true' }, '192.0.2.1', true],
      [{ TRUST_PROXY: 'false' }, '127.0.0.1', false],
      [{}, '127.0.0.1', false],
    ] as const) {
      const origins = originsOf(env);
      expect([env, address, origins.isOwn(arrived(address)), origins.isSecure(arrived(address))]).toEqual([
        env,
        address,
        isBelieved,
        isBelieved,
      ]);
    }
  });

  it('of a port counts where the host has none', () => {
    const origins = originsOf(PROXIES);
    const forwarded = (headers: IncomingHttpHeaders, from: string) =>
      origins.isOwn(request({ host: 'example.org', origin: from, ...headers }));
    const https = { 'x-forwarded-proto': 'https' };
    expect(forwarded({ ...https, 'x-forwarded-port': '8443' }, 'https://example.org:8443')).toBe(true);
    expect(forwarded({ ...https, 'x-forwarded-port': '8443' }, origin)).toBe(false);
    // That of the proxy behind the one that ends TLS.
    expect(forwarded({ ...https, 'x-forwarded-port': '80' }, origin)).toBe(true);
    expect(forwarded({ ...https, 'x-forwarded-host': 'example.org:8443', 'x-forwarded-port': '443' }, 'https://example.org:8443')).toBe(
      true,
    );
    expect(forwarded({ ...https, 'x-forwarded-port': 'x' }, origin)).toBe(true);
  });

  it('does not count as far as the client may have written it', () => {
    const origins = originsOf(PROXIES);
    const behind = (headers: IncomingHttpHeaders) => request({ host: 'upstream', ...headers }, '10.0.0.1');
    // The client at 192.0.2.1 wrote the first of each, and the proxy appended the second.
    const appended = {
      'x-forwarded-for': '10.9.9.9, 192.0.2.1',
      'x-forwarded-proto': 'https, http',
      'x-forwarded-host': 'evil.example, example.org',
    };
    expect(origins.isOwn(behind({ ...appended, origin: 'https://evil.example' }))).toBe(false);
    expect(origins.isOwn(behind({ ...appended, origin: 'http://example.org' }))).toBe(true);
    expect(origins.isSecure(behind(appended))).toBe(false);
    // Two proxies, of which the outer one ends TLS.
    const chain = {
      'x-forwarded-for': '192.0.2.1, 10.0.0.2',
      'x-forwarded-proto': 'https, http',
      'x-forwarded-host': 'example.org, inner',
    };
    expect(origins.isOwn(behind({ ...chain, origin }))).toBe(true);
    const elements = 'for=192.0.2.1;host=example.org;proto=https, for="10.0.0.2:80";host=inner;proto=http';
    expect(origins.isOwn(behind({ forwarded: elements, origin }))).toBe(true);
    expect(origins.isOwn(behind({ forwarded: elements.replace('10.0.0.2', '192.0.2.7'), origin }))).toBe(false);
    // Most proxies pass it on as it came.
    const passedOn = { forwarded: 'host=evil.example;proto=http', 'x-forwarded-host': 'example.org', 'x-forwarded-proto': 'https' };
    expect(origins.isOwn(behind({ ...passedOn, origin: 'https://evil.example' }))).toBe(false);
    expect(origins.isSecure(behind(passedOn))).toBe(true);
  });

  it('counts for nothing if it is not of the grammar', () => {
    const origins = originsOf({ TRUST_PROXY: 'true' });
    for (const headers of [{ forwarded: ';;;' }, { forwarded: 'host="' }, { 'x-forwarded-host': 'a b' }, { 'x-forwarded-host': ',' }])
      expect(origins.isOwn(request({ host: 'example.org', origin, ...headers }))).toBe(true);
  });

  it('that it speaks HTTPS to the client makes a page without it foreign', () => {
    const headers = { host: 'example.org', 'x-forwarded-proto': 'https' };
    expect(originsOf(PROXIES).isOwn(request({ ...headers, origin: 'http://example.org' }))).toBe(false);
    expect(originsOf(PROXIES).isOwn(request({ ...headers, origin }))).toBe(true);
  });
});

describe('cookies are for HTTPS only', () => {
  it('where the page says that it has it, or PUBLIC_ORIGINS has nothing else', () => {
    expect(originsOf().isSecure(request({ host: 'example.org', origin: 'https://example.org' }))).toBe(true);
    expect(originsOf().isSecure(request({ host: 'example.org', origin: 'http://example.org' }))).toBe(false);
    expect(originsOf().isSecure(request({ host: 'example.org' }))).toBe(false);
    expect(originsOf({ PUBLIC_ORIGINS: 'https://example.org' }).isSecure(request({ host: 'upstream' }))).toBe(true);
    expect(originsOf({ PUBLIC_ORIGINS: 'https://a.example, http://b.example' }).isSecure(request({ host: 'upstream' }))).toBe(false);
  });
});

describe('a GET', () => {
  const origins = originsOf({ ALLOWED_ORIGINS: 'https://friend.example' });
  const host = 'example.org';
  const json = 'application/json';

  it.each<[string, IncomingHttpHeaders]>([
    ['names JSON', { accept: json }],
    [
      'names JSON as urql does',
      { accept: 'application/graphql-response+json, application/graphql+json, application/json, text/event-stream' },
    ],
    ['is of an EventSource', { accept: 'text/event-stream' }],
    ['has a header that is asked for first', { accept: '*/*', 'apollo-require-preflight': 'true' }],
    ['has the other one', { 'graphql-require-preflight': '1', origin: 'https://evil.example' }],
    ['is of a page of ours', { accept: '*/*', 'sec-fetch-site': 'same-origin' }],
    ['was typed in', { accept: 'text/html,*/*;q=0.8', 'sec-fetch-site': 'none' }],
    ['is of an allowed page', { accept: json, 'sec-fetch-site': 'cross-site', origin: 'https://friend.example' }],
    ['is of an allowed page of an older browser', { accept: '*/*', origin: 'https://friend.example' }],
    ['is of our own page of an older browser', { accept: '*/*', origin: 'https://example.org' }],
  ])('that %s is safe', (_, headers) => {
    expect(origins.couldBeForged(request({ host, ...headers }))).toBe(false);
  });

  it.each<[string, IncomingHttpHeaders]>([
    ['an image sends', { accept: 'image/avif,image/webp,*/*' }],
    ['a navigation sends', { accept: 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8' }],
    ['says nothing', {}],
    ['only wants anything', { accept: '*/*' }],
    ['takes no JSON', { accept: 'application/json;q=0, */*' }],
    ['a page of a stranger sends', { accept: json, origin: 'https://evil.example' }],
    ['a page of a stranger sends, as the browser says', { accept: json, 'sec-fetch-site': 'cross-site' }],
    ['a page of the same site sends', { accept: json, 'sec-fetch-site': 'same-site' }],
    ['a page without an origin sends', { accept: json, origin: 'null' }],
    ['has an empty header', { 'apollo-require-preflight': '', accept: '*/*' }],
  ])('that %s could be forged', (_, headers) => {
    expect(origins.couldBeForged(request({ host, ...headers }))).toBe(true);
  });
});

describe('a request is of the address', () => {
  const addressOf = (headers: IncomingHttpHeaders, remoteAddress: string, env: Record<string, string> = {}) =>
    originsOf(env).addressOf(request(headers, remoteAddress)).network;
  const CHAIN = { 'x-forwarded-for': '198.51.100.7, 203.0.113.9, 10.0.0.2' };

  it.each<[string, string, IncomingHttpHeaders, string, Record<string, string>]>([
    ['of the connection, where no proxy is trusted', '203.0.113.5', CHAIN, '203.0.113.5', {}],
    ['of the connection, of one that is no trusted proxy', '203.0.113.5', CHAIN, '203.0.113.5', PROXIES],
    ['that the outermost trusted proxy saw', '203.0.113.9', CHAIN, '10.0.0.1', PROXIES],
    ['that comes last, where all are trusted: what stands before can be a lie', '10.0.0.2', CHAIN, '10.0.0.1', { TRUST_PROXY: 'true' }],
    ['without its port', '203.0.113.9', { 'x-forwarded-for': '203.0.113.9:4711' }, '::1', PROXIES],
    ['as Forwarded has it', '2001:db8:0:1::/64', { forwarded: 'for="[2001:db8:0:1::7]:4711"' }, '10.0.0.1', PROXIES],
    ['of the proxy, when it names none', '10.0.0.1', { forwarded: 'for=unknown' }, '10.0.0.1', PROXIES],
    ['of the proxy, when it says nothing', '127.0.0.1', {}, '127.0.0.1', PROXIES],
    ['as IPv4, when it is mapped', '203.0.113.5', {}, '::ffff:203.0.113.5', {}],
    ['of a whole network of IPv6', '2001:db8:1:2::/64', {}, '2001:db8:1:2:3:4:5:6', {}],
    ['of a network with zeros in it', '2001:db8:0:0::/64', {}, '2001:db8::5', {}],
    ['of a network that ends in zeros', '2001:db8:1:0::/64', {}, '2001:db8:1::', {}],
    ['of a link', 'fe80:0:0:0::/64', {}, 'fe80::1%eth0', {}],
  ])('%s: %s', (_, network, headers, remoteAddress, env) => {
    expect(addressOf(headers, remoteAddress, env)).toBe(network);
  });

  it('which is on this machine or not', () => {
    const isLoopback = (remoteAddress: string, headers: IncomingHttpHeaders = {}) =>
      originsOf(PROXIES).addressOf(request(headers, remoteAddress)).isLoopback;
    for (const address of ['127.0.0.1', '127.8.9.10', '::1', '::ffff:127.0.0.1'])
      expect({ address, is: isLoopback(address) }).toEqual({ address, is: true });
    for (const address of ['10.0.0.1', '203.0.113.5', '::2', '::ffff:203.0.113.5', ''])
      expect({ address, is: isLoopback(address) }).toEqual({ address, is: false });
    expect(isLoopback('127.0.0.1', { 'x-forwarded-for': '203.0.113.5' })).toBe(false);
  });
});
