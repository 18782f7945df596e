/** The IDE in a browser: its content security policy lets it do all that it does, and nothing is refused by it. */
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { WebSocket } from 'ws';
import { eventually, startSystem, type System } from '../system.js';

let system: System;
let browser: ChildProcess;
let profile: string;
let page: Page;
beforeAll(async () => {
  system = await startSystem();
  profile = mkdtempSync(join(tmpdir(), 'cheeper-browser-'));
  const options = ['--headless=new', '--no-sandbox', '--disable-gpu', '--remote-debugging-port=0', `--user-data-dir=${profile}`];
  browser = spawn('chromium', [...options, 'about:blank'], { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  browser.stderr!.on('data', (data) => (said += String(data)));
  const address = await eventually(
    () => /DevTools listening on ws:\/\/(\S+?)\//.exec(said)?.[1],
    () => `the browser listens: ${said}`,
  );
  page = await Page.open(address);
});
afterAll(async () => {
  page?.close();
  browser?.kill('SIGKILL');
  await system?.stop();
  rmSync(profile, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
});

/** A page of the browser, by its DevTools protocol. */
class Page {
  readonly complaints: string[] = [];
  private readonly waiting = new Map<number, (result: unknown) => void>();

  private constructor(private readonly devtools: WebSocket) {
    devtools.on('message', (data: Buffer) => {
      const { id, method, params, result } = JSON.parse(data.toString()) as {
        id?: number;
        method?: string;
        params?: object;
        result?: unknown;
      };
      if (id !== undefined) this.waiting.get(id)?.(result);
      else if (/^(Log\.entryAdded|Runtime\.exceptionThrown|Runtime\.consoleAPICalled)$/.test(method!))
        this.complaints.push(JSON.stringify(params).slice(0, 500));
    });
  }

  static async open(address: string): Promise<Page> {
    const targets = (await (await fetch(`http://${address}/json/list`)).json()) as { type: string; webSocketDebuggerUrl: string }[];
    const devtools = new WebSocket(targets.find(({ type }) => type === 'page')!.webSocketDebuggerUrl);
    await once(devtools, 'open');
    const page = new Page(devtools);
    for (const domain of ['Log', 'Runtime', 'Page']) await page.send(`${domain}.enable`);

    return page;
  }

  send<Result>(method: string, params: object = {}): Promise<Result> {
    const id = this.waiting.size + 1;

    return new Promise((resolve) => {
      this.waiting.set(id, resolve as (result: unknown) => void);
      this.devtools.send(JSON.stringify({ id, method, params }));
    });
  }

  async value<T>(expression: string): Promise<T | undefined> {
    const { result } = await this.send<{ result: { value?: T } }>('Runtime.evaluate', {
      expression,
      awaitPromise: true,
      returnByValue: true,
    });

    return result.value;
  }

  close(): void {
    this.devtools.terminate();
  }
}

it.each(['/', '/graphql'])('at %s shows its tour in colours, checks it, asks and listens', async (path) => {
  await page.send('Page.navigate', { url: new URL(path, system.url).href });
  // Its editor colours what it knows, and its workers, which are scripts of their own, read the schema.
  await eventually(
    () =>
      page.value<boolean>(`new Set([...document.querySelectorAll('.view-line span[class^=mtk]')].map((one) => one.className)).size > 2`),
    'the tour is there',
  );
  await eventually(() => page.value<boolean>(`!!document.querySelector('.graphiql-execute-button:not([disabled])')`), 'it can be run');
  const ask = `fetch('/graphql', { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"query":"{ __typename }"}' })`;
  expect(await page.value(`${ask}.then((response) => response.json()).then(({ data }) => data.__typename)`)).toBe('Query');
  const listen = `new WebSocket(location.origin.replace('http', 'ws') + '/graphql', 'graphql-transport-ws')`;
  expect(
    await page.value(
      `new Promise((resolve) => { const s = ${listen}; s.onopen = () => resolve('open'); s.onerror = () => resolve('refused'); })`,
    ),
  ).toBe('open');
  expect(page.complaints).toEqual([]);
});

it('does not run what was not written with it', async () => {
  const ran = await page.value(
    `new Promise((resolve) => { const s = document.createElement('script'); s.textContent = 'window.ran = true'; document.body.append(s); setTimeout(() => resolve(window.ran ?? false), 0); })`,
  );
  expect(ran).toBe(false);
});
