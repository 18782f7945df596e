/**
 * Trusted documents: operations that an application's build has written into a manifest, so that its clients send an id in place of the
 * text, and a gateway can refuse every other text.
 *
 * A request names its document by `documentId` (GraphQL over HTTP, appendix A), or by `extensions.persistedQuery` (Apollo's automatic
 * persisted queries, and what is built like them). `resolve` puts the text in the place of the id before anything else looks at the
 * request. From there on it is an ordinary request, with the checks and limits of one. Clients cannot add documents: a text that
 * comes with its hash is executed, if it may be, and not kept.
 *
 * https://github.com/graphql/graphql-over-http/blob/main/spec/Appendix%20A%20--%20Persisted%20Documents.md
 */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { GraphQLError } from 'graphql';
import { LRUCache } from 'lru-cache';
import { ConfigError } from '../shared/config.js';
import type { Logger } from '../shared/log.js';

/** Manifests in the folder, one for each version of each application. */
export const MAX_MANIFESTS = 200;
/** Different documents in all of them. */
export const MAX_DOCUMENTS = 10_000;
/** Of all manifests together. */
const MAX_MANIFEST_BYTES = 16 * 1024 * 1024;
/** Of an id in a manifest. A longer one in a request is not known. */
export const MAX_ID_CHARACTERS = 256;
/** Faults of manifests that are named when they stop the start; documents that are named when they are no longer valid. */
const MAX_NAMED = 5;
/** What is not in the manifests is logged by its operation's and its client's names: once, as long as these are remembered. */
const MAX_REMEMBERED = 1_000;
/** New ones in a minute. All are counted. */
const MAX_LOGGED_IN_A_MINUTE = 20;
const MAX_NAME_CHARACTERS = 100;
const REPORT_MS = 60_000;

/** The prefix of an id that is the SHA-256 of the text, in lower-case hexadecimal digits. */
const SHA256 = 'sha256:';

export type TrustedDocumentsMode = 'off' | 'log' | 'enforce';

/** What may be in a request; any of it may be of any type. */
export interface Asked {
  query?: unknown;
  operationName?: unknown;
  documentId?: unknown;
  extensions?: unknown;
}

/** Requests since the gateway has started. */
export interface Counts {
  /** With an id that is in no manifest, and no text. */
  unknownIds: number;
  /** With a text that is in no manifest. */
  untrusted: number;
}

interface Options {
  mode: TrustedDocumentsMode;
  log: Logger;
}

export class TrustedDocuments {
  readonly counts: Counts = { unknownIds: 0, untrusted: 0 };
  private reported: Counts = { ...this.counts };
  private report: NodeJS.Timeout | null = null;
  private loggedInThisMinute = 0;
  private readonly remembered = new LRUCache<string, true>({ max: MAX_REMEMBERED });
  private readonly texts: ReadonlySet<string>;

  /** @param byId the texts, by each of the ids under which they may be asked for */
  constructor(
    private readonly byId: ReadonlyMap<string, string>,
    private readonly options: Options,
  ) {
    this.texts = new Set(byId.values());
  }

  /**
   * Reads the manifests in a folder: all files in it whose names end in `.json`.
   *
   * @param faultsOf what is wrong with a text by the schema and the limits. Such a document does not keep the gateway from starting, as it may
   *   be one of an old version of an application. It is logged, and whoever asks for it gets these errors.
   * @throws ConfigError for a file that is no manifest, and for ids that do not name one text
   */
  static async read(folder: string | undefined, faultsOf: (text: string) => readonly Error[], options: Options): Promise<TrustedDocuments> {
    const { mode, log } = options;
    if (folder === undefined) {
      if (mode !== 'off')
        throw new ConfigError(`Settings: TRUSTED_DOCUMENTS is ${mode}, so TRUSTED_DOCUMENTS_FOLDER must name the manifests`);

      return new TrustedDocuments(new Map(), options);
    }
    const manifests = await manifestsIn(folder);
    const byId = new Map<string, string>();
    const named = new Map<string, string>();
    const invalid = new Map<string, readonly Error[]>();
    const seen = new Set<string>();
    const faults: string[] = [];
    for (const { file, entries } of manifests) {
      const faulty: string[] = [];
      for (const [id, text] of entries) {
        const hash = sha256(text);
        const ids = [id, hash, SHA256 + hash];
        const other = ids.find((one) => (byId.get(one) ?? text) !== text);
        const claimed = claimedHash(id);
        if (id === '' || id.length > MAX_ID_CHARACTERS) faults.push(`${file}: an id has 1 to ${MAX_ID_CHARACTERS} characters`);
        else if (claimed !== null && claimed !== hash) faults.push(`${file}: ${id} is not the SHA-256 of its text, which is ${hash}`);
        else if (other !== undefined) faults.push(`${file}: ${id} names another text in ${named.get(other)}`);
        for (const one of ids) {
          byId.set(one, text);
          named.set(one, file);
        }
        if (!seen.has(text)) {
          seen.add(text);
          if (seen.size > MAX_DOCUMENTS) throw wrongFolder(folder, [`there are more than ${MAX_DOCUMENTS} documents in it`]);
          const errors = faultsOf(text);
          if (errors.length > 0) invalid.set(text, errors);
        }
        const error = invalid.get(text)?.[0];
        if (error) faulty.push(`${id}: ${error.message}`);
      }
      if (faulty.length > 0)
        log.error(
          { manifest: file, count: faulty.length, documents: faulty.slice(0, MAX_NAMED) },
          'trusted documents that are not valid, and cannot be executed',
        );
    }
    if (faults.length > 0) throw wrongFolder(folder, faults);
    if (seen.size === 0 && mode === 'enforce') throw wrongFolder(folder, ['there is no document in it, so nothing could be executed']);
    log.info({ mode, manifests: manifests.map(({ file }) => file), documents: seen.size, invalid: invalid.size }, 'trusted documents');

    return new TrustedDocuments(byId, options);
  }

  /**
   * The request with its document's text, and without ids; or why it is not executed. What has neither a text nor an id, or something else
   * in their places, is returned as it is, since it cannot be executed anyhow.
   *
   * @param client what the client calls itself, for the log
   */
  resolve<T extends Asked>(asked: T, client?: string): T | GraphQLError {
    const { query } = asked;
    if (query !== undefined && query !== null && typeof query !== 'string') return asked;
    const ids = idsIn(asked);
    if (ids instanceof GraphQLError) return ids;
    if (!query && ids.length === 0) return asked;
    const text = query || this.textOf(ids);
    if (text === null) return this.unknown(asked, ids, client);
    for (const { id, isHash } of ids) {
      const known = this.find(id);
      const isOther = known === undefined ? isHash && withoutPrefix(id) !== sha256(text) : known !== text;
      if (isOther) return badRequest('The id and the text of the document, or its two ids, do not belong together.');
    }
    if (this.options.mode !== 'off' && !this.texts.has(text)) {
      this.counts.untrusted += 1;
      this.tell({ operation: nameOf(asked, text), client }, () => ({ sha256: sha256(text) }));
      if (this.options.mode === 'enforce') return notTrusted();
    }

    return ids.length === 0 ? asked : withText(asked, text);
  }

  private find(id: string): string | undefined {
    return id.length > MAX_ID_CHARACTERS ? undefined : this.byId.get(id);
  }

  /** The text that the first of them names, if all of them are known. */
  private textOf(ids: readonly Id[]): string | null {
    return ids.every(({ id }) => this.find(id) !== undefined) ? this.find(ids[0]!.id)! : null;
  }

  private unknown(asked: Asked, ids: readonly Id[], client: string | undefined): GraphQLError {
    const id = ids.find((one) => this.find(one.id) === undefined)!.id;
    this.counts.unknownIds += 1;
    this.tell({ operation: nameOf(asked), client }, () => ({ id: cut(id, MAX_ID_CHARACTERS) }));

    return notFound();
  }

  /** Logs it, unless this operation of this client was logged already, or too many others just now. */
  private tell(
    of: { operation: string | undefined; client: string | undefined },
    document: () => { id: string } | { sha256: string },
  ): void {
    this.report ??= setTimeout(this.reportCounts, REPORT_MS).unref();
    if (this.loggedInThisMinute >= MAX_LOGGED_IN_A_MINUTE) return;
    const client = of.client === undefined ? undefined : cut(of.client, MAX_NAME_CHARACTERS);
    const key = JSON.stringify([client, of.operation ?? document()]);
    if (this.remembered.has(key)) return;
    this.remembered.set(key, true);
    this.loggedInThisMinute += 1;
    this.options.log.warn({ ...document(), operation: of.operation, client }, 'a document that is in no manifest');
  }

  private readonly reportCounts = () => {
    const { unknownIds, untrusted } = this.counts;
    this.options.log.warn(
      { unknownIds: unknownIds - this.reported.unknownIds, untrusted: untrusted - this.reported.untrusted, sinceStart: { ...this.counts } },
      'requests for documents that are in no manifest, in the last minute',
    );
    this.reported = { ...this.counts };
    this.loggedInThisMinute = 0;
    this.report = null;
  };
}

// ---- Requests

interface Id {
  id: string;
  /** Must it be the SHA-256 of the text that comes with it? */
  isHash: boolean;
}

/** The ids in a request; or what is wrong with them. What is empty is as if it were absent. */
function idsIn({ documentId, extensions }: Asked): Id[] | GraphQLError {
  const ids: Id[] = [];
  if (documentId !== undefined && documentId !== null && documentId !== '') {
    if (typeof documentId !== 'string') return badRequest('`documentId` is one string.');
    ids.push({ id: documentId, isHash: documentId.startsWith(SHA256) });
  }
  const persisted = isRecord(extensions) ? extensions.persistedQuery : undefined;
  if (persisted === undefined || persisted === null) return ids;
  // As in the recipes of graphql-ws and graphql-sse.
  if (typeof persisted === 'string') return [...ids, { id: persisted, isHash: false }];
  const { version, sha256Hash } = isRecord(persisted) ? persisted : {};
  if (version !== 1 || typeof sha256Hash !== 'string' || sha256Hash === '')
    return badRequest('`extensions.persistedQuery` has the version 1 and a `sha256Hash`.');

  return [...ids, { id: sha256Hash, isHash: true }];
}

function withText<T extends Asked>({ documentId: _, extensions, ...asked }: T, text: string): T {
  const { persistedQuery: __, ...others } = isRecord(extensions) ? extensions : {};

  return { ...asked, ...(Object.keys(others).length > 0 ? { extensions: others } : {}), query: text } as T;
}

/** As the client calls the operation, or as its text does. */
function nameOf({ operationName }: Asked, text = ''): string | undefined {
  const name =
    typeof operationName === 'string' && operationName !== '' ? operationName : /\b(?:query|mutation|subscription)\s+(\w+)/.exec(text)?.[1];

  return name === undefined ? undefined : cut(name, MAX_NAME_CHARACTERS);
}

/** By the message, urql's clients know that they are to send the text; Apollo's do by either of the two. */
const notFound = () => refused('PERSISTED_QUERY_NOT_FOUND', 'PersistedQueryNotFound');
const notTrusted = () => refused('DOCUMENT_NOT_TRUSTED', 'This gateway executes trusted documents only, and this is none of them.');
const badRequest = (message: string) => refused('BAD_REQUEST', message);
const refused = (code: string, message: string) => new GraphQLError(message, { extensions: { code } });

const cut = (text: string, characters: number) => text.slice(0, characters).toWellFormed();
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
const withoutPrefix = (id: string) => (id.startsWith(SHA256) ? id.slice(SHA256.length) : id);
const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);

// ---- Manifests

interface Manifest {
  file: string;
  /** Pairs of id and text. */
  entries: [string, string][];
}

const APOLLO = 'apollo-persisted-query-manifest';

/** @throws ConfigError */
async function manifestsIn(folder: string): Promise<Manifest[]> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    throw wrongFolder(folder, [`it cannot be read (${error.code})`]);
  });
  const files = names.filter((name) => name.endsWith('.json')).sort();
  if (files.length > MAX_MANIFESTS) throw wrongFolder(folder, [`there are more than ${MAX_MANIFESTS} manifests in it`]);
  const manifests: Manifest[] = [];
  const faults: string[] = [];
  let bytes = 0;
  for (const file of files) {
    const content = await readFile(join(folder, file)).catch((error: NodeJS.ErrnoException) => error);
    if (content instanceof Error) {
      faults.push(`${file} cannot be read (${content.code})`);
      continue;
    }
    bytes += content.byteLength;
    if (bytes > MAX_MANIFEST_BYTES) throw wrongFolder(folder, [`its manifests have more than ${MAX_MANIFEST_BYTES} bytes`]);
    const entries = entriesOf(content);
    if (entries) manifests.push({ file, entries });
    else faults.push(`${file} is no manifest: neither a JSON object of texts by id, nor one of Apollo’s`);
  }
  if (faults.length > 0) throw wrongFolder(folder, faults);

  return manifests;
}

/**
 * Of an object of texts by id, as GraphQL Code Generator's client preset and Relay's compiler write it; or of Apollo's manifest, of its tools for
 * the web, Kotlin and Swift. Null for anything else.
 */
function entriesOf(content: Buffer): [string, string][] | null {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(content));
  } catch {
    return null;
  }
  if (!isRecord(value)) return null;
  const isApollos = value.format === APOLLO && value.version === 1 && Array.isArray(value.operations);
  const entries = isApollos
    ? (value.operations as unknown[]).map((one) => (isRecord(one) ? [one.id, one.body] : []))
    : Object.entries(value);
  const isPair = (entry: unknown[]): entry is [string, string] => typeof entry[0] === 'string' && typeof entry[1] === 'string';

  return entries.every(isPair) ? entries : null;
}

/** What the id says that the SHA-256 of its text is: with the prefix, or 64 hexadecimal digits. */
function claimedHash(id: string): string | null {
  return id.startsWith(SHA256) || /^[\da-f]{64}$/.test(id) ? withoutPrefix(id) : null;
}

function wrongFolder(folder: string, faults: readonly string[]): ConfigError {
  const others = faults.length > MAX_NAMED ? `; and ${faults.length - MAX_NAMED} more` : '';

  return new ConfigError(
    `TRUSTED_DOCUMENTS_FOLDER is ${folder}: ${faults.slice(0, MAX_NAMED).join('; ')}${others}`.replaceAll(/\s+/g, ' '),
  );
}
