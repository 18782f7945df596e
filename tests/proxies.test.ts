/** Behind a real nginx: with the configuration that we recommend (ops/nginx.conf), and with one that says nothing but where the gateway is. */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { print } from 'graphql';
import { FollowAuthorReceiptDocument, LiveTimelineDocument, PostCheepReceiptDocument } from '../client/operations.js';
import { RawSocket } from './raw-socket.js';
import { eventually, freePort, PASSWORD, startSystem, type System } from './system.js';

const SBIN = `${process.env.PATH}:/usr/local/sbin:/usr/sbin`;
const VIEWER = '{ viewer { id } }';
const JSON_HEADERS = { 'content-type': 'application/json', accept: 'application/json' };

let system: System;
let nginx: ChildProcess;
let folder: string;
let certificate: string;
/** As people reach it: by the recommended configuration, by a bare one whose origin the gateway knows, and by one that it does not know. */
let recommended: string;
let known: string;
let unknown: string;

beforeAll(async () => {
  const [recommendedPort, knownPort, unknownPort] = [await freePort(), await freePort(), await freePort()];
  recommended = `https://localhost:${recommendedPort}`;
  known = `http://localhost:${knownPort}`;
  unknown = `http://localhost:${unknownPort}`;
  system = await startSystem({ env: { TRUST_PROXY: 'loopback', PUBLIC_ORIGINS: known } });
  const gateway = `127.0.0.1:${system.gateways[0]!.port}`;

  folder = mkdtempSync(join(tmpdir(), 'cheeper-nginx-'));
  const inFolder = (name: string) => join(folder, name);
  mkdirSync(inFolder('temp'));
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', inFolder('key.pem')];
  execFileSync('openssl', ['req', '-x509', ...key, '-days', '2', ...subject, '-out', inFolder('certificate.pem')], { stdio: 'ignore' });
  certificate = readFileSync(inFolder('certificate.pem'), 'utf8');

  const ours = readFileSync('ops/nginx.conf', 'utf8')
    .replace('127.0.0.1:4000', gateway)
    .replace('listen 443 ssl', `listen 127.0.0.1:${recommendedPort} ssl`)
    .replace('/etc/ssl/certs/example.org.pem', inFolder('certificate.pem'))
    .replace('/etc/ssl/private/example.org.key', inFolder('key.pem'));
  const bare = (port: number) => `server { listen 127.0.0.1:${port}; location / { proxy_pass http://${gateway}; } }`;
  // Websockets need these two of any proxy.
  const upgrading = `proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $cheeper_connection;`;
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${inFolder('temp')}/${name};`);
  writeFileSync(
    inFolder('nginx.conf'),
    `daemon off; master_process off; pid ${inFolder('nginx.pid')}; error_log stderr;
    events {}
    http {
      access_log off;
      ${temporary.join(' ')}
      ${ours}
      ${bare(knownPort)}
      ${bare(unknownPort).replace('location', `${upgrading} location`)}
    }`,
  );
  nginx = spawn('nginx', ['-e', 'stderr', '-p', folder, '-c', inFolder('nginx.conf')], {
    env: { ...process.env, PATH: SBIN },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  nginx.stderr!.on('data', (chunk: Buffer) => (said += chunk.toString()));
  nginx.on('error', (error) => (said += error.message));
  await eventually(
    async () => {
      if (nginx.exitCode !== null || nginx.pid === undefined) throw new Error(`nginx did not start: ${said}`);
      return (await ask(`${known}/healthz`).catch(() => null))?.status === 200;
    },
    () => `nginx answers: ${said}`,
  );
});
afterAll(async () => {
  if (nginx?.pid !== undefined && nginx.exitCode === null) {
    const gone = new Promise((resolve) => nginx.once('exit', resolve));
    nginx.kill();
    await gone;
  }
  if (folder) rmSync(folder, { recursive: true, force: true });
  await system?.stop();
});

interface Answer {
  status: number;
  cookies: string[];
  body: string;
}

function open(url: string, body: object | null = null, headers: Record<string, string> = {}): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const send = url.startsWith('https:') ? httpsRequest : httpRequest;
    const sent = send(url, { method: body ? 'POST' : 'GET', headers: { ...(body ? JSON_HEADERS : {}), ...headers }, ca: certificate });
    sent.once('response', resolve).once('error', reject);
    sent.end(body ? JSON.stringify(body) : undefined);
  });
}

async function ask(url: string, body: object | null = null, headers: Record<string, string> = {}): Promise<Answer> {
  const response = await open(url, body, headers);

  return { status: response.statusCode!, cookies: response.headers['set-cookie'] ?? [], body: await text(response) };
}

const logIn = (username: string) => ({
  query:
    'mutation ($name: String!, $password: String!) { logIn(input: { usernameOrEmail: $name, password: $password }) { author { id } } }',
  variables: { name: username, password: PASSWORD },
});

/** What a browser does at sign-in, at the page of this origin. */
async function signIn(at: string, username: string, headers: Record<string, string> = { origin: at }) {
  const { cookies, body } = await ask(`${at}/graphql`, logIn(username), headers);
  expect(JSON.parse(body)).toMatchObject({ data: { logIn: { author: { id: expect.any(String) } } } });
  const line = cookies.find((one) => /^(__Host-)?cheeper_session=/.test(one));

  return line === undefined ? null : { cookie: line.split(';')[0]!, attributes: line.toLowerCase().split('; ').slice(1) };
}

const viewerOf = async (at: string, headers: Record<string, string>) => {
  const { data } = JSON.parse((await ask(`${at}/graphql`, { query: VIEWER }, headers)).body) as { data: { viewer: { id: string } | null } };

  return data.viewer?.id ?? null;
};
const overSocket = async (at: string, headers: Record<string, string>) => {
  const socket = await RawSocket.ready(`${at}/graphql`, undefined, { headers, ca: certificate });
  socket.subscribe('1', VIEWER);
  const { data } = await socket.only('1');
  socket.close();

  return (data as { viewer: { id: string } | null }).viewer?.id ?? null;
};
const warnings = (origin: string) =>
  system.gateways[0]!.log(Infinity)
    .split('\n')
    .filter((line) => line.includes('"level":40') && line.includes(`"origin":"${origin}"`));

describe('behind nginx, as ops/nginx.conf has it', () => {
  it('a sign-in sets a cookie for HTTPS only, which counts in requests, at websockets and for event streams', async () => {
    const { id, username } = await system.author();
    const { cookie, attributes } = (await signIn(recommended, username))!;
    expect(cookie).toMatch(/^__Host-/);
    expect(attributes).toEqual(expect.arrayContaining(['path=/', 'secure', 'httponly', 'samesite=lax']));

    const headers = { cookie, origin: recommended };
    expect(await viewerOf(recommended, headers)).toBe(id);
    expect(await overSocket(recommended, headers)).toBe(id);
    const byGet = await ask(`${recommended}/graphql?query=${encodeURIComponent(VIEWER)}`, null, { accept: 'application/json', cookie });
    expect(JSON.parse(byGet.body)).toMatchObject({ data: { viewer: { id } } });
  });

  it('an event stream comes as it is written', async () => {
    const [reader, writer] = [await system.author(), await system.author()];
    await reader.client.request(FollowAuthorReceiptDocument, { input: { authorId: writer.id } });
    const { cookie } = (await signIn(recommended, reader.username))!;
    const query = print(LiveTimelineDocument);
    const stream = await open(`${recommended}/graphql/stream`, { query }, { cookie, origin: recommended, accept: 'text/event-stream' });
    let received = '';
    stream.setEncoding('utf8').on('data', (chunk: string) => (received += chunk));
    await eventually(() => received.includes('TimelineLive'), 'the subscription is live');
    for (const message of ['one', 'two']) {
      await writer.client.request(PostCheepReceiptDocument, { input: { message } });
      await eventually(() => received.includes(`"${message}"`), 'the cheep has come, and the stream goes on');
    }
    stream.destroy();
  });

  it.each(['https://evil.example', 'http://localhost', 'null'])(
    'a page of %s has no cookie here, whatever it says of proxies',
    async (origin) => {
      const { username, client } = await system.author();
      const foreign = { origin, 'x-forwarded-host': new URL('https://evil.example').host, forwarded: 'host=evil.example;proto=https' };
      expect(await signIn(recommended, username, foreign)).toBeNull();
      const cookie = `cheeper_session=${client.accessToken}; __Host-cheeper_session=${client.accessToken}`;
      expect(await viewerOf(recommended, { ...foreign, cookie })).toBeNull();
      await expect(overSocket(recommended, { ...foreign, cookie })).rejects.toThrow('403');
    },
  );
});

describe('behind an nginx that rewrites Host, and forwards nothing', () => {
  it('a sign-in sets a cookie, and it counts, if PUBLIC_ORIGINS names the origin', async () => {
    const { id, username } = await system.author();
    const { cookie, attributes } = (await signIn(known, username))!;
    expect(attributes).not.toContain('secure');
    expect(await viewerOf(known, { cookie, origin: known })).toBe(id);
  });

  it('a browser that says itself that the page is of the same origin is believed', async () => {
    const { id, username } = await system.author();
    const says = { origin: unknown, 'sec-fetch-site': 'same-origin' };
    const { cookie } = (await signIn(unknown, username, says))!;
    expect(await viewerOf(unknown, { ...says, cookie })).toBe(id);
    expect(await overSocket(unknown, { ...says, cookie })).toBe(id);
  });

  it('otherwise the log says once why a cookie was withheld or a websocket refused, and what to set', async () => {
    const { username, client } = await system.author();
    for (let i = 0; i < 3; i++) {
      expect(await signIn(unknown, username)).toBeNull();
      await expect(overSocket(unknown, { cookie: `cheeper_session=${client.accessToken}`, origin: unknown })).rejects.toThrow('403');
    }
    await eventually(() => warnings(unknown).length > 0, 'it is logged');
    const [line, ...more] = warnings(unknown);
    expect(more).toEqual([]);
    expect(JSON.parse(line!)).toMatchObject({
      origin: unknown,
      host: `127.0.0.1:${system.gateways[0]!.port}`,
      msg: expect.stringContaining(`PUBLIC_ORIGINS=${unknown}`),
    });
  });
});
