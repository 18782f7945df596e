import { join } from 'node:path';

// `npm run test:deep` runs the tests in this folder, and `npm test` runs all others.
const deep = '/tests/deep/';
const folderHere = (name) => `^${RegExp.escape(join(import.meta.dirname, name))}/`;
const isDeep = process.env.CHEEPER_DEEP === '1';

/** ESM and decorators through swc: https://swc.rs/docs/usage/jest */
export default {
  testEnvironment: 'node',
  testMatch: [isDeep ? `**${deep}**/*.test.ts` : '**/*.test.ts'],
  // Of this checkout alone: it may itself be in a folder of such a name.
  testPathIgnorePatterns: [...['node_modules', 'dist', 'data', '.servers'].map(folderHere), ...(isDeep ? [] : [deep])],
  modulePathIgnorePatterns: ['<rootDir>/\\.servers/'],
  extensionsToTreatAsEsm: ['.ts'],
  moduleNameMapper: { '^(\\.{1,2}/.*)\\.js$': '$1' },
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      {
        jsc: {
          parser: { syntax: 'typescript', decorators: true },
          transform: { legacyDecorator: true, decoratorMetadata: true, useDefineForClassFields: false },
          target: 'es2024',
          keepClassNames: true,
        },
      },
    ],
  },
  globalSetup: './tests/global-setup.ts',
  globalTeardown: './tests/global-teardown.ts',
  testSequencer: './tests/sequencer.cjs',
  reporters: ['default', './tests/closing-line.mjs'],
  // Two cores: the tests' own services need one of them.
  maxWorkers: 2,
  testTimeout: 120_000,
};
