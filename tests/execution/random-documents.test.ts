/** What graphql-js would answer is what is answered, byte by byte, with the same effects: random documents, over replaced resolvers. */
import { expect, it } from '@jest/globals';
import { compared } from './compared.js';

it('executes random documents as graphql-js does', async () => {
  const { documents, invalid, executions, refused, withErrors, calls } = await compared(3_000);

  // Else little would be compared.
  expect(invalid).toBeLessThan(0.02 * documents);
  expect(refused).toBeLessThan(0.2 * executions);
  expect(withErrors - refused).toBeGreaterThan(0.1 * executions);
  expect(calls).toBeGreaterThan(1.5 * executions);
});
