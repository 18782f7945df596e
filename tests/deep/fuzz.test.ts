/** As `tests/fuzz`, for longer. */
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { startSystem, type System } from '../system.js';
import { fuzz } from '../fuzz/fuzz.js';

let system: System;
beforeAll(async () => {
  system = await startSystem();
});
afterAll(() => system?.stop());

it('Frames, headers and bodies of all kinds end no process, are no bug, and leave others alone', async () => {
  expect(await fuzz(system, 90)).toBeGreaterThan(0);
});
