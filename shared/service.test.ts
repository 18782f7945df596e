import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { connect } from 'node:net';
import { describe, expect, it } from '@jest/globals';
import { serveHealth } from './service.js';

describe('the health of a service', () => {
  it('is told: that it lives, and whether it is ready or what it waits for', async () => {
    const waitsFor = ['MySQL'];
    const health = await serveHealth({ waitsFor: () => waitsFor }, 0, { host: '127.0.0.1' });
    const ask = async (path: string) => {
      const response = await fetch(`http://127.0.0.1:${health.port}${path}`);
      return [response.status, (await response.json()) as unknown];
    };
    expect(await ask('/healthz')).toEqual([200, { alive: true }]);
    expect(await ask('/readyz')).toEqual([503, { ready: false, waitsFor: ['MySQL'] }]);
    waitsFor.pop();
    expect(await ask('/readyz')).toEqual([200, { ready: true, waitsFor: [] }]);
    expect((await ask('/'))[0]).toBe(404);
    await health.close();
  });

  it('can be closed while somebody asks and asks, on a connection that they keep', async () => {
    const closed = Promise.withResolvers<void>();
    const waitsFor = () => {
      void health.close().then(closed.resolve); // In the middle of a request.
      return [];
    };
    const health = await serveHealth({ waitsFor }, 0, { host: '127.0.0.1' });
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const ask = () =>
      new Promise((resolve) => {
        const sent = request({ agent, port: health.port, host: '127.0.0.1', path: '/readyz' }, (response) => {
          response.resume().once('end', () => resolve(response.statusCode));
        });
        sent.once('error', () => resolve('refused')).end();
      });
    expect(await ask()).toBe(200);
    expect(await ask()).toBe('refused');
    await closed.promise;
    agent.destroy();
  });

  it('can be closed while somebody keeps a connection on which nothing was said', async () => {
    const health = await serveHealth({ waitsFor: () => [] }, 0, { host: '127.0.0.1' });
    const silent = connect(health.port, '127.0.0.1');
    const gone = once(silent, 'close');
    // Taken on after the silent one.
    await once(silent, 'connect');
    await fetch(`http://127.0.0.1:${health.port}/healthz`);
    await health.close();
    await gone;
  });
});
