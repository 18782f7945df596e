import { join } from 'node:path';

// `npm run test:deep` and `npm run test:attacks` run the tests in these folders, and `npm test` runs all others.
const apart = ['deep', 'attacks'].map((name) => `/tests/${name}/`);
const folderHere = (name) => `^${RegExp.escape(join(import.meta.dirname, name))}/`;
const chosen = apart.find((folder) => folder === `/tests/${process.env.CHEEPER_TESTS}/`);

/** ESM and decorators through swc: https://swc.rs/docs/usage/jest */
export default {
  testEnvironment: 'node',
  testMatch: [chosen ? `**${chosen}**/*.test.ts` : '**/*.test.ts'],
  // Of this checkout alone: it may itself be in a folder of such a name.
  testPathIgnorePatterns: [...['node_modules', 'dist', 'data', '.servers'].map(folderHere), ...(chosen ? [] : apart)],
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
