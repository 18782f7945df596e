/**
 * @generated SignedSource<<5fd256f4960e30a46f20b241d4ff689e>>
 * @lightSyntaxTransform
 */

/* tslint:disable */
/* eslint-disable */
// @ts-nocheck

import { ConcreteRequest } from 'relay-runtime';
export type operationsNodesQuery$variables = {
  ids: ReadonlyArray<string>;
};
export type operationsNodesQuery$data = {
  readonly nodes: ReadonlyArray<{
    readonly __typename: string;
    readonly at?: string;
    readonly cheepId?: string;
    readonly id: string;
    readonly message?: string;
    readonly name?: string;
    readonly username?: string;
  } | null | undefined>;
};
export type operationsNodesQuery = {
  response: operationsNodesQuery$data;
  variables: operationsNodesQuery$variables;
};

const node: ConcreteRequest = (function(){
var v0 = [
  {
    "defaultValue": null,
    "kind": "LocalArgument",
    "name": "ids"
  }
],
v1 = [
  {
    "alias": null,
    "args": [
      {
        "kind": "Variable",
        "name": "ids",
        "variableName": "ids"
      }
    ],
    "concreteType": null,
    "kind": "LinkedField",
    "name": "nodes",
    "plural": true,
    "selections": [
      {
        "alias": null,
        "args": null,
        "kind": "ScalarField",
        "name": "__typename",
        "storageKey": null
      },
      {
        "alias": null,
        "args": null,
        "kind": "ScalarField",
        "name": "id",
        "storageKey": null
      },
      {
        "kind": "InlineFragment",
        "selections": [
          {
            "alias": null,
            "args": null,
            "kind": "ScalarField",
            "name": "username",
            "storageKey": null
          }
        ],
        "type": "Author",
        "abstractKey": null
      },
      {
        "kind": "InlineFragment",
        "selections": [
          {
            "alias": null,
            "args": null,
            "kind": "ScalarField",
            "name": "message",
            "storageKey": null
          }
        ],
        "type": "Cheep",
        "abstractKey": null
      },
      {
        "kind": "InlineFragment",
        "selections": [
          {
            "alias": null,
            "args": null,
            "kind": "ScalarField",
            "name": "cheepId",
            "storageKey": null
          }
        ],
        "type": "DeletedCheep",
        "abstractKey": null
      },
      {
        "kind": "InlineFragment",
        "selections": [
          {
            "alias": null,
            "args": null,
            "kind": "ScalarField",
            "name": "at",
            "storageKey": null
          }
        ],
        "type": "Notification",
        "abstractKey": "__isNotification"
      },
      {
        "kind": "InlineFragment",
        "selections": [
          {
            "alias": null,
            "args": null,
            "kind": "ScalarField",
            "name": "name",
            "storageKey": null
          }
        ],
        "type": "Command",
        "abstractKey": null
      }
    ],
    "storageKey": null
  }
];
return {
  "fragment": {
    "argumentDefinitions": (v0/*:: as any*/),
    "kind": "Fragment",
    "metadata": null,
    "name": "operationsNodesQuery",
    "selections": (v1/*:: as any*/),
    "type": "Query",
    "abstractKey": null
  },
  "kind": "Request",
  "operation": {
    "argumentDefinitions": (v0/*:: as any*/),
    "kind": "Operation",
    "name": "operationsNodesQuery",
    "selections": (v1/*:: as any*/)
  },
  "params": {
    "cacheID": "8c203dc6d14ddcd40e16427e894061bf",
    "id": null,
    "metadata": {},
    "name": "operationsNodesQuery",
    "operationKind": "query",
    "text": "query operationsNodesQuery(\n  $ids: [ID!]!\n) {\n  nodes(ids: $ids) {\n    __typename\n    id\n    ... on Author {\n      username\n    }\n    ... on Cheep {\n      message\n    }\n    ... on DeletedCheep {\n      cheepId\n    }\n    ... on Notification {\n      __isNotification: __typename\n      at\n    }\n    ... on Command {\n      name\n    }\n  }\n}\n"
  }
};
})();

(node as any).hash = "19f910097387be5c635750dcebd54374";

export default node;
