import js from '@eslint/js';
import tseslint from 'typescript-eslint';

export default tseslint.config(
  { ignores: ['node_modules/', 'dist/', 'client/dist/', 'data/', '.servers/', 'client/operations.ts', 'tests/relay/__generated__/'] },
  js.configs.recommended,
  {
    rules: { 'no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_', destructuredArrayIgnorePattern: '^_' }] },
  },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/no-unused-vars': [
        'error',
        { argsIgnorePattern: '^_', varsIgnorePattern: '^_', destructuredArrayIgnorePattern: '^_', ignoreRestSiblings: true },
      ],
      // An async function may be what an interface asks for.
      '@typescript-eslint/require-await': 'off',
      // Methods of resolver classes are called by type-graphql, with their object.
      '@typescript-eslint/unbound-method': 'off',
    },
  },
  {
    files: ['gateway/**/*.ts', 'read-side/**/*.ts', 'write-side/**/*.ts', 'shared/**/*.ts'],
    ignores: ['**/*.test.ts'],
    rules: {
      'no-restricted-syntax': [
        'error',
        {
          // V8 gives each such object a shape of its own, in the old generation, which holds the getter and all that that sees: a whole request, say, until
          // the next full collection. (Pauses of 12 ms for each 47 MB that were allocated became 1.5 ms, and a gateway shows 1.2 times as many pages.)
          selector: 'ObjectExpression > Property[kind=/^(get|set)$/]',
          message: 'Getters and setters belong to a class: an object that has its own is not collected while it is young.',
        },
      ],
    },
  },
  {
    files: ['**/*.mjs'],
    languageOptions: {
      globals: {
        process: 'readonly',
        console: 'readonly',
        Buffer: 'readonly',
        URL: 'readonly',
        fetch: 'readonly',
        setTimeout: 'readonly',
        setImmediate: 'readonly',
        setInterval: 'readonly',
        clearTimeout: 'readonly',
        clearInterval: 'readonly',
        AbortSignal: 'readonly',
        AbortController: 'readonly',
      },
    },
  },
);
