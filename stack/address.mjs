/**
 * Where a service can be reached that listens on HOST: what people are told, and what a health check asks.
 *
 * No dependencies; Node 20 and later.
 */
import { lookup } from 'node:dns/promises';
import { isIP, isIPv4 } from 'node:net';

/**
 * @param {string} host an address or a name, with or without brackets
 * @param {string[]} localhost the addresses of `localhost` here
 * @returns {{ host: string, inUrl: string }} the first for sockets, the second for URLs
 */
export function reachable(host, localhost) {
  const bare = withoutBrackets(host);
  const any = anyAddress(bare);
  if (any === undefined) return { host: bare, inUrl: bare === '127.0.0.1' && localhost.includes(bare) ? 'localhost' : inUrl(bare) };

  // Who listens on all addresses is reached by this machine's own, and by its name where that leads to one that is listened on.
  const isNamed = localhost.some((address) => any === '::' || isIPv4(address));
  const own = any === '::' ? '::1' : '127.0.0.1';

  return { host: own, inUrl: isNamed ? 'localhost' : inUrl(own) };
}

/** An IPv6 address stands in brackets in a URL, and nowhere else. @param {string} host */
export const withoutBrackets = (host) => host.replace(/^\[(.*)\]$/, '$1');

/** @returns {Promise<string[]>} */
export const addressesOfLocalhost = () =>
  lookup('localhost', { all: true }).then(
    (found) => found.map(({ address }) => address),
    () => [],
  );

/** Of 0.0.0.0 and ::, however they are written. @param {string} host */
function anyAddress(host) {
  const address = isIP(host) === 6 && !host.includes('%') ? new URL(`http://[${host}]`).hostname.slice(1, -1) : host;

  return address === '::' || address === '0.0.0.0' ? address : undefined;
}

/** The name of a network card in an address is set off by %25 there. @param {string} host */
const inUrl = (host) => (isIP(host) === 6 ? `[${host.replace('%', '%25')}]` : host);
