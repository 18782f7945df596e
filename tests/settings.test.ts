/** A missing or contradictory setting stops the start of a service with one clear line, and exit code 1. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { freePort, startSystem, type ServiceName, type System } from './system.js';

let system: System;
beforeAll(async () => {
  system = await startSystem();
}, 60_000);
afterAll(() => system?.stop());

async function run(name: ServiceName, settings: Record<string, string>): Promise<{ code: number | null; said: string }> {
  const child = spawn(process.execPath, ['--import', '@swc-node/register/esm-register', `${name}/main.ts`], {
    cwd: join(import.meta.dirname, '..'),
    env: { PATH: process.env.PATH, ...settings },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr.on('data', (data) => (said += data));
  const [code] = (await once(child, 'close')) as [number | null];

  return { code, said };
}

describe('a service', () => {
  it.each([
    ['write-side', {}, ['NATS_URL is missing', 'MYSQL_URL is missing', 'HEALTH_PORT is missing']],
    ['read-side', { NATS_URL: 'localhost:4222', SHARDS: '0' }, ['NATS_URL must be a URL', 'SHARDS is not right', 'REDIS_URL is missing']],
    ['gateway', { SIGNING_KEY: 'short', PORT: 'http' }, ['SIGNING_KEY must have at least 32 characters', 'PORT is not right']],
    ['gateway', { ALLOWED_ORIGINS: 'example.org' }, ['ALLOWED_ORIGINS must be origins']],
  ] as const)('(%s) with %j names every fault in one line', async (name, settings, faults) => {
    const { code, said } = await run(name, settings);
    expect(code).toBe(1);
    expect(said.trimEnd().split('\n')).toHaveLength(1);
    for (const fault of faults) expect(said).toContain(fault);
  });

  it.each([
    ['write-side', { LANES: '8' }, 'LANES=16'],
    ['read-side', { SHARDS: '4' }, 'SHARDS=8'],
    ['gateway', { LANES: '8' }, 'lanes=16'],
    ['gateway', { SHARDS: '4' }, 'SHARDS=8'],
  ] as const)('(%s) with %j, where the others have more, says so in one line', async (name, settings, fault) => {
    const port = String(await freePort());
    const all = {
      ...system.env,
      SIGNING_KEY: 'a key for tests that is long enough',
      PORT: port,
      HEALTH_PORT: port,
      LOG_LEVEL: 'silent',
      ...settings,
    };
    const { code, said } = await run(name, all);
    expect(code).toBe(1);
    expect(said.trimEnd().split('\n')).toHaveLength(1);
    expect(said).toContain(fault);
  });

  it('whose port is taken says so in one line', async () => {
    const taken = {
      ...system.env,
      SIGNING_KEY: 'a key for tests that is long enough',
      PORT: String(system.gateways[0]!.port),
      HOST: '127.0.0.1',
    };
    const { code, said } = await run('gateway', taken);
    expect(code).toBe(1);
    expect(said.trim()).toBe(`gateway: port ${system.gateways[0]!.port} is in use`);
  });
});
