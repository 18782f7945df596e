/**
 * A client that gets it right: one session at one or more gateways, which reads its own writes and never goes back, whichever
 * gateway answers. Copy it: it needs `graphql`, `graphql-ws`, and the globals of a browser or of Node 22.
 *
 * `ask` and `request` are one try each. `query` and `mutate` try again after what passes (a lost answer, NOT_CAUGHT_UP,
 * OVERLOADED, UNAVAILABLE), up to a deadline; `mutate` with the same `commandId`, so that it is done once. `subscribe` is one
 * subscription on one connection; `follow` outlives connections and gateways. What does not pass is thrown at once by all.
 */
import type { TypedDocumentNode } from '@graphql-typed-document-node/core';
import { print, type GraphQLFormattedError } from 'graphql';
import { createClient, type Client } from 'graphql-ws';

/** An answer as it came, errors and all. */
export interface Answer<Data> {
  status: number;
  headers: Headers;
  data: Data | null | undefined;
  errors: GraphQLFormattedError[];
  extensions: { consistency?: ConsistencyReport };
}

export interface ConsistencyReport {
  token: string;
  position: string;
  waitedMs: number;
  satisfied: boolean;
  lagMs: number;
}

/** An answer with errors, where none were expected. */
export class GraphQLRequestError extends Error {
  override name = 'GraphQLRequestError';

  /** @param data what was answered all the same: the receipt of a command, say, whose effect could not be read yet */
  constructor(
    readonly errors: readonly GraphQLFormattedError[],
    readonly data: unknown = null,
  ) {
    super(errors.map((error) => error.message).join('; '));
  }

  /** `extensions.code` of the first. */
  get code(): unknown {
    return this.errors[0]?.extensions?.code;
  }
}

/** No answer came, or the connection broke: what was asked for may have been done, or not. */
export class ConnectionLostError extends Error {
  override name = 'ConnectionLostError';
}

export interface ClientOptions {
  /** Of the GraphQL endpoint, `http://localhost:4000/graphql`; or of several gateways, to go on at the next when one is lost. */
  url: string | readonly string[];
  accessToken?: string | null;
  /** Asked for an access token when the one that there is has run out: without this client, which would send that one along. */
  renewAccessToken?: () => Promise<string>;
  consistencyToken?: string | null;
  /** With everything that is asked, over websockets too. */
  headers?: Record<string, string>;
  /** For how long `query` and `mutate` try. */
  deadlineMs?: number;
}

/** Without a cursor it could not be resumed; but for what came of a command, which comes once. */
type Followed = Record<string, { __typename?: string } & ({ cursor: string } | { status: string })>;

/** What an operation has tried, and with what it did so last. */
interface Tries {
  failures: number;
  hasRenewed: boolean;
  url: string;
  accessToken: string | null;
}

const CONSISTENCY = 'x-cheeper-consistency';
/** The server takes so many tokens at once. */
const MOST_TOKENS = 16;
/** Of one try. The server itself answers within 6 seconds. */
const TRY_MS = 10_000;
/** Before the second try, at the most; doubles up to the last. */
const FIRST_BACKOFF_MS = 100;
const LAST_BACKOFF_MS = 5_000;
/** A socket that does not answer a ping for so long is dead; the system would say so late, or never. */
const PING_MS = 10_000;
const SILENCE_MS = 5_000;

export class CheeperClient {
  /** Of the gateway that is asked next. */
  url: string;
  accessToken: string | null;
  private readonly otherUrls: string[];
  /** All that was seen. Of two tokens in here it is not known which one says more. */
  private readonly tokens = new Set<string>();
  private readonly underWay = new Set<AbortController>();
  private folding: Promise<unknown> | null = null;
  private renewing: Promise<void> | null = null;
  private socket: Client | null = null;

  constructor(private readonly options: ClientOptions) {
    const [first, ...others] = typeof options.url === 'string' ? [options.url] : options.url;
    this.url = first!;
    this.otherUrls = others;
    this.accessToken = options.accessToken ?? null;
    this.consistencyToken = options.consistencyToken ?? null;
  }

  // ---- What was seen

  /** To give to others, who are to see all that was seen here: one token, or several with commas. */
  get consistencyToken(): string | null {
    return [...this.tokens].join(',') || null;
  }

  /** In place of what was seen; null forgets it, as one must after BAD_TOKEN. */
  set consistencyToken(token: string | null) {
    this.tokens.clear();
    this.remember(token ?? '');
  }

  /** From here on nothing older is answered than what the token's owner saw. */
  remember(token: string): void {
    for (const one of token.split(',')) if (one.trim()) this.tokens.add(one.trim());
  }

  /**
   * An answer's token covers all tokens that its question was sent with, so it takes their place. What was learnt meanwhile from
   * answers to other questions it need not cover: that stays beside it, and goes out with the next question, whose answer covers
   * both. So nothing that was seen is forgotten, in whatever order answers come, and only the server compares tokens.
   */
  private learn(token: string | undefined, sent: readonly string[]): readonly string[] {
    if (!token) return sent;
    for (const covered of sent) this.tokens.delete(covered);
    this.tokens.add(token);

    return [token];
  }

  /** All that was seen. Where that is more than can be sent, the server makes one token of many, by a question that reads nothing. */
  private async sendable(): Promise<readonly string[]> {
    while (this.tokens.size > MOST_TOKENS) {
      this.folding ??= this.post('{ __typename }', {}, [...this.tokens].slice(0, MOST_TOKENS), {})
        .then(dataOf)
        .finally(() => (this.folding = null));
      await this.folding;
    }

    return [...this.tokens];
  }

  // ---- Questions and commands

  /** The whole answer. @throws ConnectionLostError when none came */
  async ask<Data, Variables>(
    document: TypedDocumentNode<Data, Variables>,
    variables: Variables,
    headers: Record<string, string> = {},
    signal: AbortSignal | null = null,
  ): Promise<Answer<Data>> {
    const sent = CONSISTENCY in headers ? [] : await this.sendable();

    return this.post(print(document), variables, sent, { ...this.parameters(), ...headers }, signal);
  }

  /** The data. @throws GraphQLRequestError when the answer has errors, ConnectionLostError when none came */
  async request<Data, Variables>(document: TypedDocumentNode<Data, Variables>, variables: Variables): Promise<Data> {
    return dataOf(await this.ask(document, variables));
  }

  /** The data, which is asked for again after what passes. @throws as `request`: what does not pass, or the last at the deadline */
  async query<Data, Variables>(document: TypedDocumentNode<Data, Variables>, variables: Variables): Promise<Data> {
    const deadline = performance.now() + (this.options.deadlineMs ?? 30_000);
    const tries = this.begin();
    const stop = new AbortController();
    this.underWay.add(stop);
    try {
      for (;;) {
        try {
          const signal = AbortSignal.any([stop.signal, AbortSignal.timeout(TRY_MS)]);

          return dataOf(await this.ask(document, variables, {}, signal));
        } catch (error) {
          await this.beforeNextTry(error, tries, stop.signal, deadline);
        }
      }
    } finally {
      this.underWay.delete(stop);
    }
  }

  /** It is done once, however often it is sent: each time it is the same command. @throws as `query` */
  mutate<Data, Variables extends { input: { commandId?: string | number | null } }>(
    document: TypedDocumentNode<Data, Variables>,
    variables: Variables,
  ): Promise<Data> {
    const commandId = variables.input.commandId ?? crypto.randomUUID();

    return this.query(document, { ...variables, input: { ...variables.input, commandId } });
  }

  private async post<Data>(
    query: string,
    variables: unknown,
    sent: readonly string[],
    headers: Record<string, string>,
    signal: AbortSignal | null = null,
  ): Promise<Answer<Data>> {
    const accept = 'application/graphql-response+json, application/json';
    const consistency: Record<string, string> = sent.length > 0 ? { [CONSISTENCY]: sent.join(',') } : {};
    const lost = (cause: unknown) => Promise.reject(new ConnectionLostError('No answer came.', { cause }));
    const response = await fetch(this.url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept, ...consistency, ...headers },
      body: JSON.stringify({ query, variables }),
      signal,
    }).catch(lost);
    const text = await response.text().catch(lost);
    const { status, headers: received } = response;
    const isJson = received.get('content-type')?.includes('json');
    const { data, errors, extensions = {} } = (isJson ? JSON.parse(text) : {}) as Partial<Answer<Data>>;
    if (data === undefined && !errors) {
      // By somebody between us and the gateway, or by a gateway that is about to stop.
      const isPassing = [429, 502, 503, 504].includes(status);
      throw new (isPassing ? ConnectionLostError : Error)(`${response.url} answered ${status}, and no GraphQL.`);
    }
    this.learn(extensions.consistency?.token, sent);

    return { status, headers: received, data, errors: errors ?? [], extensions };
  }

  // ---- What is live

  /** What a subscription brings on one connection, until `return` is called (as leaving a `for await` does). @throws as `request` */
  subscribe<Data, Variables extends Record<string, unknown>>(
    document: TypedDocumentNode<Data, Variables>,
    variables: Variables,
    signal?: AbortSignal,
  ): AsyncIterableIterator<Data, undefined> {
    const arrived: Data[] = [];
    let hasBegun = false;
    let end: { error?: Error } | null = null;
    let [wake, leave] = [() => {}, () => {}];
    const finish = (error?: Error) => {
      if (end) return;
      end = { error };
      signal?.removeEventListener('abort', over);
      leave();
      wake();
    };
    const over = () => finish();
    signal?.addEventListener('abort', over);
    const begin = async () => {
      let covered = await this.sendable();
      if (end) return;
      const socket = (this.socket ??= this.openSocket());
      const extensions = covered.length > 0 ? { [CONSISTENCY]: covered.join(',') } : {};
      const unsubscribe = socket.subscribe<Data, Answer<Data>['extensions']>(
        { query: print(document), variables, extensions },
        {
          next: ({ data, errors, extensions }) => {
            // Those of a subscription never go back: each covers the one before it, and the first what was sent.
            covered = this.learn(extensions?.consistency?.token, covered);
            if (errors || !data) return finish(new GraphQLRequestError(errors ?? [], data));
            hasBegun = true;
            arrived.push(data);
            wake();
          },
          error: (reason) => finish(socketFault(reason)),
          complete: over,
        },
      );
      // After 1000 graphql-ws would subscribe anew by itself, from the old cursor, and what has come would come twice.
      const unlisten = socket.on('closed', (event) => hasBegun && finish(this.socket === socket ? socketFault(event) : undefined));
      leave = () => {
        unlisten();
        unsubscribe();
      };
    };
    begin().catch(finish);

    const taken = async function* (): AsyncGenerator<Data, undefined> {
      for (;;) {
        while (arrived.length === 0 && !end) await new Promise<void>((resolve) => (wake = resolve));
        if (arrived.length === 0) break;
        yield arrived.shift()!;
      }
      if (end?.error) throw end.error;
    };

    return leavable(taken(), () => {
      arrived.length = 0;
      finish();
    });
  }

  /**
   * What a subscription brings, whatever happens to connections and gateways: it goes on after the last event that was taken from
   * here, so each comes once and in order. That it is live comes once too: later interruptions are nobody's business. A reset is
   * handed on, for only the caller knows what it has shown. It ends when it is left, on `close`, and with the operation itself.
   * @throws what does not pass: UNAUTHENTICATED, say, when the access token has run out and there is no other
   */
  follow<Data extends Followed, Variables extends Record<string, unknown>>(
    document: TypedDocumentNode<Data, Variables>,
    variables: Variables,
  ): AsyncGenerator<Data, undefined> {
    const stop = new AbortController();

    return leavable(this.resumed(document, variables, stop), () => stop.abort());
  }

  private async *resumed<Data extends Followed, Variables extends Record<string, unknown>>(
    document: TypedDocumentNode<Data, Variables>,
    variables: Variables,
    stop: AbortController,
  ): AsyncGenerator<Data, undefined> {
    let { after } = variables;
    let isLive = false;
    const tries = this.begin();
    this.underWay.add(stop);
    try {
      while (!stop.signal.aborted) {
        try {
          for await (const data of this.subscribe(document, { ...variables, after }, stop.signal)) {
            Object.assign(tries, { failures: 0, hasRenewed: false });
            const event = Object.values(data)[0]!;
            if ('cursor' in event) after = event.cursor;
            const saysLive = event.__typename?.endsWith('Live') ?? false;
            if (!saysLive || !isLive) yield data;
            isLive ||= saysLive;
          }

          return;
        } catch (error) {
          await this.beforeNextTry(error, tries, stop.signal);
        }
      }
    } finally {
      this.underWay.delete(stop);
    }
  }

  /** Ends all that is under way. What is asked afterwards is answered as before. */
  async close(): Promise<void> {
    for (const stop of this.underWay) stop.abort();
    const { socket } = this;
    this.socket = null;
    await Promise.resolve(socket?.dispose()).catch(() => {}); // It may not even be open.
  }

  /** Of all subscriptions of this client. */
  private openSocket(): Client {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const heard = () => clearTimeout(timer);
    const listen = () => {
      heard();
      timer = setTimeout(() => socket.terminate(), SILENCE_MS);
    };
    const socket = createClient({
      url: () => this.url.replace(/^http/, 'ws'),
      connectionParams: () => this.parameters(),
      retryAttempts: 0, // `follow` knows from where.
      keepAlive: PING_MS,
      on: {
        connecting: listen,
        connected: heard,
        ping: (isTheirs) => !isTheirs && listen(),
        pong: (isTheirs) => isTheirs && heard(),
        closed: heard,
      },
    });

    return socket;
  }

  // ---- Trying again

  private begin(): Tries {
    return { failures: 0, hasRenewed: false, url: this.url, accessToken: this.accessToken };
  }

  /** Waits until it is worth another try, at another gateway if there is one. @throws the error when it is not */
  private async beforeNextTry(error: unknown, tries: Tries, signal: AbortSignal, deadline = Infinity): Promise<void> {
    const { renewAccessToken } = this.options;
    if (signal.aborted) throw error;
    if (renewAccessToken && !tries.hasRenewed && error instanceof GraphQLRequestError && error.code === 'UNAUTHENTICATED') {
      // Unless it was renewed for another operation meanwhile.
      if (this.accessToken === tries.accessToken) await (this.renewing ??= this.renew(renewAccessToken));
      tries.hasRenewed = true;
    } else {
      const waitMs = Math.random() * Math.min(FIRST_BACKOFF_MS * 2 ** tries.failures, LAST_BACKOFF_MS);
      if (!isPassing(error) || performance.now() + waitMs > deadline) throw error;
      // Unless another operation has left that gateway meanwhile.
      if (this.url === tries.url) {
        this.otherUrls.push(this.url);
        this.url = this.otherUrls.shift()!;
      }
      tries.failures += 1;
      await sleep(waitMs, signal);
    }
    tries.url = this.url;
    tries.accessToken = this.accessToken;
  }

  private async renew(renewAccessToken: () => Promise<string>): Promise<void> {
    try {
      this.accessToken = await renewAccessToken();
    } finally {
      this.renewing = null;
    }
  }

  /** Headers over HTTP, and what a socket is opened with. */
  private parameters(): Record<string, string> {
    return { ...(this.accessToken ? { authorization: `Bearer ${this.accessToken}` } : {}), ...this.options.headers };
  }
}

function dataOf<Data>({ data, errors }: Answer<Data>): Data {
  if (errors.length > 0 || !data) throw new GraphQLRequestError(errors, data);

  return data;
}

/** The same again may succeed. */
const isPassing = (error: unknown): boolean =>
  error instanceof ConnectionLostError ||
  (error instanceof GraphQLRequestError && error.errors.length > 0 && error.errors.every((one) => one.extensions?.retryable === true));

/** What ended a subscription: errors of its own, or the end of its socket. */
function socketFault(reason: unknown): Error {
  if (Array.isArray(reason)) return new GraphQLRequestError(reason as GraphQLFormattedError[]);
  const { code = 1006, reason: why = '' } = reason as { code?: number; reason?: string };
  const noAccess = { message: 'The access token is none, or has run out.', extensions: { code: 'UNAUTHENTICATED' } };
  if (code === 4403) return new GraphQLRequestError([noAccess]);
  // The protocol's own are bugs; but a server may be too slow to let anybody in (4408), and a socket dead (4499).
  const isBug = code >= 4400 && code <= 4500 && code !== 4408 && code !== 4499;

  return new (isBug ? Error : ConnectionLostError)(`The connection was closed: ${code} ${why}`.trim());
}

/** A generator that waits cannot be told to return, so what it waits for must be ended first. */
function leavable<T>(events: AsyncGenerator<T, undefined>, end: () => void): AsyncGenerator<T, undefined> {
  const leave = events.return.bind(events);
  events.return = (value) => {
    end();

    return leave(value);
  };

  return events;
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done);
  });
}
