/** What our commands say to people. */

/** What goes wrong for a reason that a person can see to: it is told without a stack. */
export class Failure extends Error {}

/** @param {string[]} lines */
export const say = (...lines) => process.stdout.write(`${lines.join('\n')}\n`);

/** @param {string[]} lines */
export const complain = (...lines) => process.stderr.write(`${lines.join('\n')}\n`);

/** @param {number} since */
export const seconds = (since) => `${((Date.now() - since) / 1000).toFixed(1)} s`;
