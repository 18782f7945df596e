/**
 * Where a request comes from. Which pages are the gateway's own, which requests are safe, and which address it is of: the one place that
 * decides it, for HTTP, event streams and upgrades to a websocket alike. Cookies count in requests of own pages only (and of programs, which
 * are no pages). See docs/decisions/0020.
 */
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { BlockList, isIP, SocketAddress, type Socket } from 'node:net';
import proxyAddr from '@fastify/proxy-addr';
import parseForwarded from 'forwarded-parse';
import type { Logger } from '../shared/log.js';
import { originOf } from '../shared/origin.js';
import { acceptedBy, EVENT_STREAM, GRAPHQL_RESPONSE, JSON_TYPE } from './accept.js';

export interface OriginSettings {
  PUBLIC_ORIGINS: string[];
  ALLOWED_ORIGINS: string[];
  TRUST_PROXY: boolean | string[];
}

export type IncomingRequest = Pick<IncomingMessage, 'headers' | 'socket'>;

/** A browser that is to send one of these to another origin asks that first, by a preflight. */
const PREFLIGHTED = ['graphql-require-preflight', 'apollo-require-preflight', 'x-apollo-operation-name'];
/** No form, image, script or navigation names these in its `Accept`. */
const TYPES_OF_PROGRAMS: ReadonlySet<string> = new Set([JSON_TYPE, GRAPHQL_RESPONSE, 'application/graphql+json', EVENT_STREAM]);
/** What is explained once: a log must not grow with what strangers send. */
const MAX_EXPLAINED = 100;

/** Of a client, for what is counted for each address. */
export interface ClientAddress {
  /** An IPv4 address; of IPv6 the network (/64), since one client has all addresses of that. */
  network: string;
  /** Is the client on this machine, with no trusted proxy between? */
  isLoopback: boolean;
}

/** How the client reached the gateway, as far as that is known. */
interface Reached {
  /** As in the header `Host`. */
  host: string | undefined;
  /** Null if no proxy that is believed tells. */
  protocol: string | null;
}

export class Origins {
  private readonly own: ReadonlySet<string>;
  private readonly allowed: ReadonlySet<string>;
  private readonly trusts: (address: string | undefined) => boolean;
  private readonly trustsAll: boolean;
  private readonly explained = new Set<string>();

  /** Each is asked for several times. */
  private readonly addresses = new WeakMap<IncomingRequest, ClientAddress>();

  constructor(
    { PUBLIC_ORIGINS, ALLOWED_ORIGINS, TRUST_PROXY }: OriginSettings,
    private readonly log: Logger,
  ) {
    this.own = new Set(PUBLIC_ORIGINS);
    this.allowed = new Set(ALLOWED_ORIGINS);
    const isProxy = Array.isArray(TRUST_PROXY) ? proxyAddr.compile(TRUST_PROXY) : () => TRUST_PROXY;
    this.trustsAll = TRUST_PROXY === true;
    this.trusts = (address) => TRUST_PROXY === true || (address !== undefined && isProxy(address, 0));
  }

  /**
   * Is it sent by a page of ours, or by no page at all? A browser says so itself in `Sec-Fetch-Site`, which no page can set and no proxy
   * falsifies by rewriting `Host`. Browsers that do not (older ones, and all over plain HTTP) send `Origin`, which is compared with how
   * the gateway was reached.
   */
  isOwn({ headers, socket }: IncomingRequest): boolean {
    const origin = headers.origin === undefined ? undefined : originOf(headers.origin);
    if (origin && this.own.has(origin)) return true;
    const site = headers['sec-fetch-site'];
    if (site !== undefined) return site === 'same-origin' || site === 'none';
    if (origin === undefined) return true;

    return origin !== null && isReachedAs(origin, this.reached({ headers, socket }));
  }

  /** Is it an origin whose pages may use the endpoint, without cookies? */
  isAllowed(origin: string | undefined): boolean {
    return origin !== undefined && this.allowed.has(originOf(origin) ?? '');
  }

  /** Does the client use HTTPS? Then cookies are for HTTPS only. */
  isSecure(request: IncomingRequest): boolean {
    const { origin } = request.headers;
    const { protocol } = this.reached(request);
    if (protocol !== null) return protocol === 'https';
    if (origin !== undefined && this.isOwn(request)) return originOf(origin)?.startsWith('https:') ?? false;

    return this.own.size > 0 && [...this.own].every((one) => one.startsWith('https:'));
  }

  /**
   * Could a page of a stranger have made a browser send this GET without asking for permission? (Of the bodies of a POST only JSON is read,
   * for which a browser does ask.)
   */
  couldBeForged(request: IncomingRequest): boolean {
    const { headers } = request;
    const { accept, origin, 'sec-fetch-site': site } = headers;
    if (PREFLIGHTED.some((name) => headers[name])) return false;
    if (site !== undefined || origin !== undefined) return !this.isOwn(request) && !this.isAllowed(origin);

    return !acceptedBy(accept).named.some((type) => TYPES_OF_PROGRAMS.has(type));
  }

  /**
   * Whose request it is, as an address. Behind a trusted proxy it is the one that the proxy was spoken to from. With `TRUST_PROXY=true` nobody tells
   * proxies and clients apart, so the last one in the list counts, which no client can write.
   */
  addressOf(request: IncomingRequest): ClientAddress {
    let address = this.addresses.get(request);
    if (!address) this.addresses.set(request, (address = this.findAddress(request)));

    return address;
  }

  private findAddress({ headers, socket }: IncomingRequest): ClientAddress {
    const { remoteAddress = '' } = socket;
    if (!this.trusts(remoteAddress)) return clientAddress(remoteAddress);
    const named = listIn(headers['x-forwarded-for']);
    const addresses = (named.length > 0 ? named : elementsOf(headers.forwarded).map((one) => one.for)).map(withoutPort);
    const told = this.trustsAll ? addresses.at(-1) : this.outermost(addresses, addresses);

    return clientAddress(told !== undefined && isIP(told) !== 0 ? told : remoteAddress);
  }

  /** Does it say from whom it was forwarded, and come from somebody who is not believed? */
  isForwardedInVain({ headers, socket }: IncomingRequest): boolean {
    return headers['x-forwarded-for'] !== undefined && !this.trusts(socket.remoteAddress);
  }

  /** Who holds the other end of a connection: a client, or a proxy that is trusted. */
  peerOf({ remoteAddress = '' }: Pick<Socket, 'remoteAddress'>): { site: string; isProxy: boolean } {
    return { site: siteOf(clientAddress(remoteAddress).network), isProxy: this.trusts(remoteAddress) };
  }

  /** Logs, once for each pair of origin and host, why `what` happened to a request that is not `isOwn`, and which setting changes that. */
  explain(request: IncomingRequest, what: string): void {
    const { host } = this.reached(request);
    const { origin, 'x-forwarded-host': forwardedHost } = request.headers;
    const said = { origin: briefly(origin), host: briefly(host), forwardedHost: briefly(forwardedHost) };
    const key = JSON.stringify(said);
    if (this.explained.size >= MAX_EXPLAINED || this.explained.has(key)) return;
    this.explained.add(key);
    const isIgnored = forwardedHost !== undefined && !this.trusts(request.socket.remoteAddress);
    const hints = [
      ...(this.isAllowed(origin) ? ['It is one of ALLOWED_ORIGINS, whose pages use access tokens'] : []),
      `If people reach this gateway as ${said.origin}, set PUBLIC_ORIGINS=${said.origin}`,
      ...(isIgnored ? [`X-Forwarded-Host says ${said.forwardedHost}, and is not believed: TRUST_PROXY names the proxies that are`] : []),
    ];
    this.log.warn(
      said,
      `${what}, because the page is of the origin ${said.origin}, and the request is for ${said.host}. ${hints.join('. ')}.`,
    );
  }

  private reached({ headers, socket }: IncomingRequest): Reached {
    const reached = { host: headers.host, protocol: null };
    if (!this.trusts(socket.remoteAddress)) return reached;
    const { host, protocol } = this.forwarded(headers);

    return { host: host !== undefined && isHost(host) ? host : reached.host, protocol: protocol?.toLowerCase() ?? null };
  }

  /** `Forwarded` counts only where the other headers say nothing: most proxies write those, and pass `Forwarded` on as it came. */
  private forwarded(headers: IncomingHttpHeaders): { host?: string | undefined; protocol?: string | undefined } {
    const addresses = listIn(headers['x-forwarded-for']);
    const [host, protocol, port] = ['host', 'proto', 'port'].map((name) =>
      this.outermost(listIn(headers[`x-forwarded-${name}`]), addresses),
    );
    if (host === undefined && protocol === undefined && port === undefined) {
      const elements = elementsOf(headers.forwarded);
      const element = this.outermost(
        elements,
        elements.map((one) => one.for),
      );
      return { host: element?.host, protocol: element?.proto };
    }
    const named = host ?? headers.host ?? '';
    const isWithPort = /:\d+$/.test(named);

    // A host without a port has the standard one already; proxies behind others tell their own here.
    const isAnother = port !== undefined && /^\d+$/.test(port) && port !== '80' && port !== '443';

    return { host: isAnother && !isWithPort ? `${named}:${port}` : named, protocol };
  }

  /**
   * Each proxy appends to a list what it has seen, and the address of who sent that to it. So the last item is by the proxy that speaks to us, and one
   * before it counts as long as those addresses are of proxies that are believed.
   */
  private outermost<T>(list: readonly T[], addresses: readonly (string | undefined)[]): T | undefined {
    let back = 1;
    while (back < list.length && this.trusts(withoutPort(addresses.at(-back)))) back += 1;

    return list.at(-back);
  }
}

/** The scheme counts only if it is known: something that ends TLS need not tell us. */
function isReachedAs(origin: string, { host, protocol }: Reached): boolean {
  const scheme = origin.slice(0, origin.indexOf(':'));
  if (protocol === 'https' && scheme !== 'https') return false;

  return host !== undefined && originOf(`${scheme}://${host}`) === origin;
}

export const isHost = (host: string): boolean => originOf(`http://${host}`) !== null;

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

function clientAddress(address: string): ClientAddress {
  const ipv4 = /^::ffff:(\d+(?:\.\d+){3})$/i.exec(address)?.[1] ?? address;
  if (isIP(ipv4) !== 6) return { network: ipv4, isLoopback: isIP(ipv4) === 4 && LOOPBACK.check(ipv4) };

  return { network: networkOf(ipv4), isLoopback: LOOPBACK.check(ipv4, 'ipv6') };
}

/** Its first four groups, as `SocketAddress` writes them: in short, with one `::`. */
function networkOf(ipv6: string): string {
  const [head, tail] = new SocketAddress({ address: ipv6.replace(/%.*/, ''), family: 'ipv6' }).address.split('::');
  const groups = head === '' ? [] : head!.split(':');
  if (tail !== undefined) {
    const last = tail === '' ? [] : tail.split(':');
    groups.push(...Array<string>(8 - groups.length - last.length).fill('0'), ...last);
  }

  return `${groups.slice(0, 4).join(':')}::/64`;
}

/** What one site has of IPv6 is a /48: all its networks together. An IPv4 address is a site of its own. */
export const siteOf = (network: string): string => (network.endsWith('/64') ? `${network.split(':').slice(0, 3).join(':')}::/48` : network);

const listIn = (header: string | string[] | undefined) =>
  String(header ?? '')
    .split(',')
    .map((item) => item.trim())
    .filter(Boolean);

function elementsOf(forwarded: string | undefined): Partial<Record<string, string>>[] {
  try {
    return forwarded ? parseForwarded(forwarded) : [];
  } catch {
    return [];
  }
}

/** Without the port, and the brackets of IPv6. */
const withoutPort = (node: string | undefined) => node && (/^\[(.*)\](:\d+)?$/.exec(node)?.[1] ?? node.replace(/^([^:]+):\d+$/, '$1'));

const briefly = (text: string | string[] | undefined) => (text === undefined ? undefined : String(text).slice(0, 200));
