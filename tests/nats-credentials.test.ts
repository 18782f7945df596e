/** Who asks NATS can be said by credentials (a JWT and its seed), or by an NKey: both in files, which are read again at each connect. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { nkeys } from '@nats-io/transport-node';
import { ConfigError, readConfig } from '../shared/config.js';
import { connectNats } from '../shared/jetstream.js';
import { findProgram, launch, type Child } from '../stack/children.mjs';
import { temporaryFolder } from '../stack/stack.mjs';
import { eventually, freePort } from './system.js';

type KeyPair = ReturnType<typeof nkeys.createUser>;

const text = new TextDecoder();
const seedOf = (pair: KeyPair) => text.decode(pair.getSeed());

/** As the `nsc` tool makes them. https://docs.nats.io/running-a-nats-service/configuration/securing_nats/auth_intro/jwt */
function jwtOf(name: string, subject: KeyPair, issuer: KeyPair, nats: object): string {
  const encoded = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const claims = { jti: name, iat: Math.floor(Date.now() / 1_000), iss: issuer.getPublicKey(), name, sub: subject.getPublicKey(), nats };
  const signed = `${encoded({ typ: 'JWT', alg: 'ed25519-nkey' })}.${encoded(claims)}`;

  return `${signed}.${Buffer.from(issuer.sign(Buffer.from(signed))).toString('base64url')}`;
}

const credsOf = (jwt: string, user: KeyPair) =>
  `-----BEGIN NATS USER JWT-----\n${jwt}\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n${seedOf(user)}\n------END USER NKEY SEED------\n`;

let folder: string;
let server: Child | null = null;
let port: number;
beforeAll(async () => {
  folder = await temporaryFolder();
  mkdirSync(folder, { recursive: true });
  port = await freePort();
});
afterAll(async () => {
  await server?.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function restart(configuration: string): Promise<void> {
  await server?.stop();
  const file = join(folder, 'nats.conf');
  writeFileSync(file, `listen: 127.0.0.1:${port}\njetstream { store_dir: "${join(folder, 'data')}" }\n${configuration}\n`);
  server = launch('nats', findProgram('nats-server')!, ['--config', file], { logFile: join(folder, 'nats.log') });
}
const refused = () => server!.tail(100).match(/authentication error/g)?.length ?? 0;

describe('a service', () => {
  it('shows an NKey, another one when its file has another one, and goes on trying until it is accepted', async () => {
    const [first, second] = [nkeys.createUser(), nkeys.createUser()];
    const file = join(folder, 'seed.nk');
    const configuration = (pair: KeyPair) => `authorization { users: [{ nkey: ${pair.getPublicKey()} }] }`;
    writeFileSync(file, `# of the gateway\n${seedOf(first)}\n`);
    await restart(configuration(first));
    const { NATS_URL } = readConfig(['NATS_URL'], { NATS_URL: `nats://127.0.0.1:${port}`, NATS_NKEY_FILE: file });
    expect(NATS_URL).not.toContain(seedOf(first));
    const nats = await connectNats(NATS_URL, 'test');
    await restart(configuration(second));
    await eventually(() => refused() >= 5, 'it tries again and again');
    expect(nats.isConnected()).toBe(false);
    rmSync(file); // What it has read last holds meanwhile.
    writeFileSync(file, seedOf(second));
    await eventually(() => nats.isConnected(), 'it is back');
    await nats.close();
    writeFileSync(file, seedOf(first));
    await expect(connectNats(NATS_URL, 'test')).rejects.toThrow(
      new ConfigError('NATS: it does not accept the user, the password or the certificate (Authorization Violation)'),
    );
  });

  it('shows credentials, in the decentralized way of NATS', async () => {
    const [operator, system, account] = [nkeys.createOperator(), nkeys.createAccount(), nkeys.createAccount()];
    const unlimited = { subs: -1, data: -1, payload: -1, imports: -1, exports: -1, wildcards: true, conn: -1, leaf: -1 };
    const limits = { ...unlimited, mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1 };
    const accountOf = (name: string, pair: KeyPair, more: object) =>
      jwtOf(name, pair, operator, { type: 'account', version: 2, limits: { ...unlimited, ...more } });
    const userOf = (name: string, pair: KeyPair) =>
      jwtOf(name, pair, account, { type: 'user', version: 2, subs: -1, data: -1, payload: -1, pub: {}, sub: {} });
    const trusted = jwtOf('operator', operator, operator, { type: 'operator', version: 2, system_account: system.getPublicKey() });
    await restart(`
      operator: ${trusted}
      system_account: ${system.getPublicKey()}
      resolver: MEMORY
      resolver_preload: {
        ${system.getPublicKey()}: ${accountOf('SYS', system, {})}
        ${account.getPublicKey()}: ${accountOf('CHEEPER', account, limits)}
      }`);
    const user = nkeys.createUser();
    const file = join(folder, 'gateway.creds');
    writeFileSync(file, credsOf(userOf('gateway', user), user));
    const { NATS_URL } = readConfig(['NATS_URL'], { NATS_URL: `nats://127.0.0.1:${port}`, NATS_CREDS_FILE: file });
    const nats = await connectNats(NATS_URL, 'test');
    await nats.jsm.streams.add({ name: 'a_stream', subjects: ['a.>'] });
    await nats.close();
    const stranger = nkeys.createUser();
    writeFileSync(file, credsOf(userOf('gateway', user), stranger));
    await expect(connectNats(NATS_URL, 'test')).rejects.toThrow(ConfigError);
  });
});
