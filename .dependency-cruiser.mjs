/**
 * The arrows: gateway → shared and read-side's queries; write-side → shared; read-side → shared; shared → nothing of ours;
 * cli → shared, write-side and read-side; nothing → cli; client → nothing of ours, as it is a package of its own.
 */
const rooms = '^(gateway|write-side|read-side|shared|client|cli|stack|tests|bench|demo)/';
const isTest = '\\.test\\.ts$';

/** @type {import('dependency-cruiser').IConfiguration} */
export default {
  forbidden: [
    {
      name: 'shared-knows-nobody',
      severity: 'error',
      from: { path: '^shared/', pathNot: isTest },
      to: { path: rooms, pathNot: '^shared/' },
    },
    {
      name: 'write-side-knows-only-shared',
      severity: 'error',
      from: { path: '^write-side/', pathNot: isTest },
      to: { path: rooms, pathNot: '^(write-side|shared)/' },
    },
    {
      name: 'read-side-knows-only-shared',
      severity: 'error',
      from: { path: '^read-side/', pathNot: isTest },
      to: { path: rooms, pathNot: '^(read-side|shared)/' },
    },
    {
      name: 'gateway-reads-by-query',
      severity: 'error',
      comment: 'The gateway asks projections through their query.ts, and never changes them.',
      from: { path: '^gateway/', pathNot: isTest },
      to: {
        path: rooms,
        pathNot: ['^(gateway|shared)/', '^read-side/[^/]+/query\\.ts$', '^read-side/(shard|list|rows|changes|progress|control)\\.ts$'],
      },
    },
    {
      name: 'queries-do-not-write',
      severity: 'error',
      comment: 'What the gateway may import must not bring in what applies.',
      from: { path: '^read-side/([^/]+/query|shard|list|rows|changes|progress)\\.ts$' },
      to: { path: '^read-side/', pathNot: ['^read-side/[^/]+/query\\.ts$', '^read-side/(shard|list|rows|changes|progress|control)\\.ts$'] },
    },
    {
      name: 'cli-knows-the-sides',
      severity: 'error',
      comment: 'What operators may ask is asked of what there is; the public face is for others.',
      from: { path: '^cli/', pathNot: isTest },
      to: { path: rooms, pathNot: '^(cli|shared|write-side|read-side)/' },
    },
    {
      name: 'client-knows-nobody',
      severity: 'error',
      from: { path: '^client/' },
      to: { path: rooms, pathNot: '^client/' },
    },
    { name: 'no-unresolved', severity: 'error', from: {}, to: { couldNotResolve: true, pathNot: '^@graphql-typed-document-node/core$' } }, // types only
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'require', 'node', 'default', 'types'] },
  },
};
