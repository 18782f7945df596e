/**
 * The URL of MySQL, NATS or Redis has everything that a connection needs. Settings such as MYSQL_PASSWORD_FILE and TLS_CA_FILE are put
 * into it as names of files, and these are read again at each connect: who replaces a password or a certificate restarts no service.
 */
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { checkServerIdentity, createSecureContext, type PeerCertificate } from 'node:tls';

/** Names of files. */
export interface ServerFiles {
  password?: string;
  /** NATS: a JWT and the seed that belongs to it. */
  creds?: string;
  /** NATS: the seed of an NKey. */
  nkey?: string;
  tlsCa?: string;
  tlsCert?: string;
  tlsKey?: string;
}

/** In the query of a URL. */
const PARAMETERS: Record<keyof ServerFiles, string> = {
  password: 'password-file',
  creds: 'creds-file',
  nkey: 'nkey-file',
  tlsCa: 'tls-ca-file',
  tlsCert: 'tls-cert-file',
  tlsKey: 'tls-key-file',
};
const KINDS = Object.keys(PARAMETERS) as (keyof ServerFiles)[];

/** NATS alone may have several URLs, separated by commas. In those of MySQL and Redis a comma may be part of a password. */
const separated = (url: string): string[] => (/^(nats|tls):/i.test(url) ? url.split(',') : [url]);

/** Changes the first URL, which has the user, the password and the names of files for all. */
export function changeFirst(url: string, change: (first: URL) => void): string {
  const [first, ...others] = separated(url);
  const parsed = new URL(first!);
  change(parsed);

  return [parsed.href, ...others].join(',');
}

export function withFiles(url: string, files: ServerFiles): string {
  const named = KINDS.filter((kind) => files[kind] !== undefined);
  if (named.length === 0) return url;

  return changeFirst(url, ({ searchParams }) => {
    for (const kind of named) searchParams.set(PARAMETERS[kind], files[kind]!);
  });
}

/** The opposite of `withFiles`. */
export function takeFiles(url: string): { url: string; files: ServerFiles } {
  if (!KINDS.some((kind) => url.includes(PARAMETERS[kind]))) return { url, files: {} };
  const files: ServerFiles = {};
  const without = changeFirst(url, ({ searchParams }) => {
    for (const kind of KINDS) {
      const file = searchParams.get(PARAMETERS[kind]);
      if (file !== null) files[kind] = file;
      searchParams.delete(PARAMETERS[kind]);
    }
  });

  return { url: without, files };
}

/** A setting that a file holds: without the end of its last line. @throws an error that names the file, and nothing that is in it */
export function readSecret(file: string): string {
  try {
    return readFileSync(file, 'utf8').replace(/\r?\n$/, '');
  } catch (error) {
    throw new Error(`${file} cannot be read (${(error as NodeJS.ErrnoException).code})`, { cause: error });
  }
}

export interface TlsFiles {
  ca?: string;
  cert?: string;
  key?: string;
}

/** @throws an error that names the file */
export function readTlsFiles({ tlsCa, tlsCert, tlsKey }: ServerFiles): TlsFiles {
  return {
    ...(tlsCa !== undefined && { ca: readSecret(tlsCa) }),
    ...(tlsCert !== undefined && { cert: readSecret(tlsCert) }),
    ...(tlsKey !== undefined && { key: readSecret(tlsKey) }),
  };
}

export const namesTlsFiles = ({ tlsCa, tlsCert, tlsKey }: ServerFiles): boolean =>
  [tlsCa, tlsCert, tlsKey].some((file) => file !== undefined);

/** Reads again each time; while that fails, what was read last. For libraries in which a failure would end the connection for good. */
export function readAgain<T>(read: () => T, first = read()): () => T {
  let last = first;

  return () => {
    try {
      return (last = read());
    } catch {
      return last;
    }
  };
}

const SEED = /(?<![A-Z2-7])SU[A-Z2-7]{56}(?![A-Z2-7])/;
/** As the `nsc` tool writes them: two blocks, of which the first has the JWT and the second the seed. */
const CREDS = /-{3,}BEGIN NATS USER JWT-{3,}\s+[\w.-]+\s+-{3,}END NATS USER JWT-{3,}\s[^]*-{3,}BEGIN USER NKEY SEED-{3,}\s/;

/** The seed in a file that may have other lines around it. @throws an error that names the file */
export function readSeed(file: string): string {
  const seed = SEED.exec(readSecret(file))?.[0];
  if (!seed) throw new Error(`${file} has no seed of a user's NKey, which begins with SU`);

  return seed;
}

/** @throws an error that names the file */
export function readCreds(file: string): string {
  const creds = readSecret(file);
  if (!CREDS.test(creds) || !SEED.test(creds)) throw new Error(`${file} has no credentials of a user, as nsc writes them`);

  // NATS' client knows the end of a block by the end of its line.
  return `${creds}\n`;
}

/** Reads all of them once. @returns what is wrong, in words; null when all can be used */
export function faultInFiles(files: ServerFiles): string | null {
  try {
    if (files.password !== undefined && readSecret(files.password) === '') return `${files.password} is empty`;
    if (files.creds !== undefined) readCreds(files.creds);
    if (files.nkey !== undefined) readSeed(files.nkey);
    const tls = readTlsFiles(files);
    for (const [text, file] of [
      [tls.ca, files.tlsCa],
      [tls.cert, files.tlsCert],
    ] as const) {
      // Node takes what is no certificate for a list of none.
      if (text !== undefined && !text.includes('-----BEGIN CERTIFICATE-----')) return `${file} has no certificate in PEM form`;
    }
    try {
      createSecureContext(tls);
    } catch (error) {
      return `${[files.tlsCa, files.tlsCert, files.tlsKey].filter(Boolean).join(', ')} cannot be used (${(error as Error).message})`;
    }

    return null;
  } catch (error) {
    return (error as Error).message;
  }
}

/**
 * Is the certificate one of these hosts'? For libraries that do not tell Node the address that they connect to: it would look for
 * `localhost` then.
 */
export const isOneOf =
  (hosts: string[]) =>
  (name: string, certificate: PeerCertificate): Error | undefined => {
    if (name !== 'localhost') return checkServerIdentity(name, certificate);
    const faults = hosts.map((host) => checkServerIdentity(host, certificate));

    return faults.includes(undefined) ? undefined : faults[0];
  };

/** A socket to an address, without a name, has none to compare with the certificate; Node looks here. */
export const nameForTls = (host: string) => (isIP(host) ? { _host: host } : {});

const UNTRUSTED = /^(SELF_SIGNED_CERT_IN_CHAIN|DEPTH_ZERO_SELF_SIGNED_CERT|UNABLE_TO_(GET_ISSUER_CERT|VERIFY_LEAF_SIGNATURE)\w*)$/;
const TLS_FAULT = /^(CERT_|ERR_TLS_|ERR_SSL_|ERR_OSSL_|HOSTNAME_MISMATCH|INVALID_)/;
/** mysql2 puts its own code in the place of Node's. */
const UNTRUSTED_MESSAGE = /^(self-signed certificate|unable to (get .*issuer certificate|verify the first certificate))/;

/** What is wrong with the certificate, or with TLS, so that trying again is no use: in words; null when it is something else. */
export function tlsFault(error: unknown): string | null {
  const { code = '', message = '', cause } = error as { code?: string; message?: string; cause?: unknown };
  if (UNTRUSTED.test(code) || UNTRUSTED_MESSAGE.test(message)) {
    return `its certificate is not of a CA that is trusted (${message}): TLS_CA_FILE names the file with the CA's`;
  }
  if (TLS_FAULT.test(code) || /does not support 'tls'|does not support secure connection/.test(message)) return oneLine(message);

  return cause ? tlsFault(cause) : null;
}

const oneLine = (text: string) => text.replace(/\s+/g, ' ').trim();
