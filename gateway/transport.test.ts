import { describe, expect, it } from '@jest/globals';
import { createLog } from '../shared/log.js';
import { readConfig } from '../shared/config.js';
import { Origins, type IncomingRequest } from './origins.js';
import { cookieName, cookiesOf } from './transport.js';

const originsOf = (env: Record<string, string>) =>
  new Origins(readConfig(['PUBLIC_ORIGINS', 'ALLOWED_ORIGINS', 'TRUST_PROXY'], env), createLog('gateway', 'silent'));
const sessionOf = (env: Record<string, string>, headers: Record<string, string>) => {
  const request = { headers: { host: 'example.org', ...headers }, socket: { remoteAddress: '127.0.0.1' } } as unknown as IncomingRequest;

  return cookiesOf(originsOf(env), request).cheeper_session;
};

describe('a cookie', () => {
  const both = 'cheeper_session=tossed; __Host-cheeper_session=mine';
  it('has a name over HTTPS that only this host can set', () => {
    expect([cookieName('cheeper_session', true), cookieName('cheeper_session', false)]).toEqual([
      '__Host-cheeper_session',
      'cheeper_session',
    ]);
  });

  it.each<[string, Record<string, string>, Record<string, string>]>([
    ['a proxy that is trusted says so', { TRUST_PROXY: 'loopback' }, { 'x-forwarded-proto': 'https' }],
    ['all public origins are', { PUBLIC_ORIGINS: 'https://example.org' }, {}],
    ['the page’s own origin is', {}, { origin: 'https://example.org' }],
  ])('of the plain name counts for nothing over HTTPS, as %s', (_, env, headers) => {
    expect(sessionOf(env, { ...headers, cookie: 'cheeper_session=tossed' })).toBeUndefined();
    expect(sessionOf(env, { ...headers, cookie: both })).toBe('mine');
    expect(sessionOf(env, { ...headers, cookie: '__host-cheeper_session=tossed' })).toBeUndefined();
  });

  it('of the plain name counts over HTTP, after one that came by HTTPS', () => {
    expect(sessionOf({}, { cookie: 'cheeper_session=plain' })).toBe('plain');
    expect(sessionOf({}, { cookie: both })).toBe('mine');
  });
});
