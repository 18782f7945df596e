/** The manifest of an application that uses this client: for gateways that execute trusted documents only. */
import type { DocumentNode } from 'graphql';
import { NOTHING } from './client.js';
import { documentIdOf, textsOf } from './documents.js';

/**
 * The texts that the client may send for an application's documents, by their ids: to be written as JSON into a file of the gateway's
 * TRUSTED_DOCUMENTS_FOLDER. The client changes some documents before it sends them, so a manifest that was made without it does not have all.
 *
 * @param documents those of the application, as the client gets them. (Apollo Client and urql add `__typename` to them before.)
 */
export async function manifestOf(documents: Iterable<string | DocumentNode>): Promise<Record<string, string>> {
  const texts = new Set([NOTHING, ...[...documents].flatMap((one) => [...textsOf(one)])]);
  const manifest: Record<string, string> = {};
  for (const text of texts) {
    const id = await documentIdOf(text);
    if (id === null) throw new Error('There is no crypto.subtle here.');
    manifest[id] = text;
  }

  return manifest;
}
