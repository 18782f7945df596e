/** The longest first: begun last, it would run on when all others are over, on one of the two cores. */
const { default: Sequencer } = require('@jest/test-sequencer');

const LONGEST = '/tests/faults/faults.test.ts';

/** @param {{ path: string }} test */
const isLongest = ({ path }) => path.endsWith(LONGEST);

module.exports = class LongestFirst extends Sequencer {
  /**
   * @override
   * @param {Parameters<InstanceType<typeof Sequencer>['sort']>[0]} tests
   */
  async sort(tests) {
    return [...tests.filter(isLongest), ...(await super.sort(tests.filter((test) => !isLongest(test))))];
  }
};
