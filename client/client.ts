/**
 * A small client: one session that keeps its access token and its consistency token, so that it reads its own writes and
 * never goes back, whichever gateway answers.
 */
import type { TypedDocumentNode } from '@graphql-typed-document-node/core';
import { print, type GraphQLFormattedError } from 'graphql';
import { createClient, type Client } from 'graphql-ws';
import { WebSocket } from 'ws';

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

  constructor(readonly errors: GraphQLFormattedError[]) {
    super(errors.map((error) => error.message).join('; '));
  }

  /** `extensions.code` of the first. */
  get code(): unknown {
    return this.errors[0]?.extensions?.code;
  }
}

export interface ClientOptions {
  /** Of the GraphQL endpoint: `http://localhost:4000/graphql` */
  url: string;
  accessToken?: string | null;
  consistencyToken?: string | null;
  headers?: Record<string, string>;
}

export class CheeperClient {
  url: string;
  accessToken: string | null;
  /** The newest that was seen. */
  consistencyToken: string | null;
  private readonly headers: Record<string, string>;
  private sockets: Client | null = null;

  constructor({ url, accessToken = null, consistencyToken = null, headers = {} }: ClientOptions) {
    this.url = url;
    this.accessToken = accessToken;
    this.consistencyToken = consistencyToken;
    this.headers = headers;
  }

  /** The data. @throws GraphQLRequestError when the answer has errors */
  async request<Data, Variables>(document: TypedDocumentNode<Data, Variables>, variables: Variables): Promise<Data> {
    const { data, errors } = await this.ask(document, variables);
    if (errors.length > 0 || !data) throw new GraphQLRequestError(errors);

    return data;
  }

  /** The whole answer. */
  async ask<Data, Variables>(
    document: TypedDocumentNode<Data, Variables>,
    variables: Variables,
    headers: Record<string, string> = {},
  ): Promise<Answer<Data>> {
    const response = await fetch(this.url, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        accept: 'application/graphql-response+json, application/json',
        ...this.parameters(),
        ...this.headers,
        ...headers,
      },
      body: JSON.stringify({ query: print(document), variables }),
    });
    const body = (await response.json()) as Partial<Answer<Data>>;
    this.consistencyToken = response.headers.get('x-cheeper-consistency') ?? this.consistencyToken;

    return {
      status: response.status,
      headers: response.headers,
      data: body.data,
      errors: body.errors ?? [],
      extensions: body.extensions ?? {},
    };
  }

  /** What a subscription brings, until `return` is called (as leaving a `for await` does). */
  subscribe<Data, Variables extends Record<string, unknown>>(
    document: TypedDocumentNode<Data, Variables>,
    variables: Variables,
  ): AsyncIterableIterator<Data, undefined> {
    this.sockets ??= createClient({
      url: this.url.replace(/^http/, 'ws'),
      webSocketImpl: WebSocket,
      connectionParams: () => this.parameters(),
      // A lost connection is the caller's to notice: it knows the cursor to go on from.
      retryAttempts: 0,
    });
    const results = this.sockets.iterate<Data>({ query: print(document), variables });
    const frames: AsyncIterableIterator<Data, undefined> = {
      next: async () => {
        const { value, done } = (await results.next()) as IteratorResult<Answer<Data>, undefined>;
        if (done) return { value: undefined, done: true };
        if (value.errors || !value.data) throw new GraphQLRequestError(value.errors ?? []);
        this.consistencyToken = value.extensions?.consistency?.token ?? this.consistencyToken;

        return { value: value.data, done: false };
      },
      return: async () => {
        await results.return?.();

        return { value: undefined, done: true };
      },
      [Symbol.asyncIterator]: () => frames,
    };

    return frames;
  }

  async close(): Promise<void> {
    await this.sockets?.dispose();
    this.sockets = null;
  }

  private parameters(): Record<string, string> {
    return {
      ...(this.accessToken ? { authorization: `Bearer ${this.accessToken}` } : {}),
      ...(this.consistencyToken ? { 'x-cheeper-consistency': this.consistencyToken } : {}),
    };
  }
}
