import { afterAll, beforeAll, describe, it } from '@jest/globals';
import { expectNoHarm, startVictim, type Victim } from './harm.js';

let victim: Victim;
beforeAll(async () => (victim = await startVictim()));
afterAll(() => victim?.stop());

describe('requests without number', () => {
  it('that are small keep nobody from reading', async () => {
    const harm = await victim.harmOf(async ({ address, signal }) => {
      while (!signal.aborted) {
        const response = await fetch(victim.system.url, {
          method: 'POST',
          headers: { 'content-type': 'application/json', 'x-forwarded-for': address },
          body: JSON.stringify({ query: '{ viewer { id } }' }),
        });
        await response.text();
      }
    });
    expectNoHarm(harm);
  });
});
