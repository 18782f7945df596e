/** As tests/execution/random-documents.test.ts, many more of them. */
import { expect, it } from '@jest/globals';
import { compared } from '../execution/compared.js';

const DEADLINE_MS = 25 * 60_000;

it(
  'executes very many random documents as graphql-js does',
  async () => {
    const { documents, invalid } = await compared(100_000);
    expect(invalid).toBeLessThan(0.02 * documents);
  },
  DEADLINE_MS,
);
