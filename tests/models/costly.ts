import type { Projection } from '../../read-side/projection.js';

/** As if each function of a projection touched more than half the keys that a script may: scripts stop after a few, and go on in another call. */
const COSTLY = `
for name, run in pairs(functions) do
  functions[name] = function(...) return 600 * run(...) end
end
`;

export const costly = (projection: Projection): Projection => ({ ...projection, lua: projection.lua + COSTLY });
