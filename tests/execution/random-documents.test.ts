/** What graphql-js would answer is what is answered, byte by byte, with the same effects: random documents, over replaced resolvers. */
import { expect, it } from '@jest/globals';
import { compared, documentsHeld, plansHeld } from './compared.js';

it('executes random documents as graphql-js does', async () => {
  const { documents, invalid, executions, refused, withErrors, calls } = await compared(3_000);

  // Else little would be compared.
  expect(invalid).toBeLessThan(0.02 * documents);
  expect(refused).toBeLessThan(0.2 * executions);
  expect(withErrors - refused).toBeGreaterThan(0.1 * executions);
  expect(calls).toBeGreaterThan(1.5 * executions);
});

it('holds a bounded amount of memory, whatever documents come', async () => {
  const { held, estimated } = await plansHeld();
  const bound = 48 * 1024 * 1024;
  expect(estimated).toBeLessThanOrEqual(bound);
  // There is more to it than the plans, and all that came would be several times as much.
  expect(estimated).toBeGreaterThan(0.5 * bound);
  expect(held).toBeLessThan(1.5 * bound);
});

it('keeps documents in a bounded amount of memory, however many there are', async () => {
  const { held, estimated } = await documentsHeld();
  const bound = 24 * 1024 * 1024;
  expect(estimated).toBeLessThanOrEqual(bound);
  expect(estimated).toBeGreaterThan(0.9 * bound);
  expect(held).toBeLessThan(1.1 * bound);
});
