/**
 * @generated SignedSource<<0ce4d53785df97d0dc9f0f2134b45de8>>
 * @lightSyntaxTransform
 */

/* tslint:disable */
/* eslint-disable */
// @ts-nocheck

import { ConcreteRequest } from 'relay-runtime';
export type WaitFor = "ACCEPTED" | "COMMITTED" | "PROJECTED" | "%future added value";
export type FollowAuthorInput = {
  authorId: string;
  commandId?: string | null | undefined;
  waitFor?: WaitFor | null | undefined;
};
export type operationsFollowMutation$variables = {
  followers: ReadonlyArray<string>;
  following: ReadonlyArray<string>;
  input: FollowAuthorInput;
};
export type operationsFollowMutation$data = {
  readonly followAuthor: {
    readonly followerEdge: {
      readonly cursor: string;
      readonly node: {
        readonly id: string;
        readonly username: string;
      };
    } | null | undefined;
    readonly followingEdge: {
      readonly cursor: string;
      readonly node: {
        readonly id: string;
        readonly username: string;
      };
    } | null | undefined;
  };
};
export type operationsFollowMutation = {
  response: operationsFollowMutation$data;
  variables: operationsFollowMutation$variables;
};

const node: ConcreteRequest = (function(){
var v0 = {
  "defaultValue": null,
  "kind": "LocalArgument",
  "name": "followers"
},
v1 = {
  "defaultValue": null,
  "kind": "LocalArgument",
  "name": "following"
},
v2 = {
  "defaultValue": null,
  "kind": "LocalArgument",
  "name": "input"
},
v3 = [
  {
    "kind": "Variable",
    "name": "input",
    "variableName": "input"
  }
],
v4 = [
  {
    "alias": null,
    "args": null,
    "kind": "ScalarField",
    "name": "cursor",
    "storageKey": null
  },
  {
    "alias": null,
    "args": null,
    "concreteType": "Author",
    "kind": "LinkedField",
    "name": "node",
    "plural": false,
    "selections": [
      {
        "alias": null,
        "args": null,
        "kind": "ScalarField",
        "name": "id",
        "storageKey": null
      },
      {
        "alias": null,
        "args": null,
        "kind": "ScalarField",
        "name": "username",
        "storageKey": null
      }
    ],
    "storageKey": null
  }
],
v5 = {
  "alias": null,
  "args": null,
  "concreteType": "AuthorEdge",
  "kind": "LinkedField",
  "name": "followerEdge",
  "plural": false,
  "selections": (v4/*:: as any*/),
  "storageKey": null
},
v6 = {
  "alias": null,
  "args": null,
  "concreteType": "AuthorEdge",
  "kind": "LinkedField",
  "name": "followingEdge",
  "plural": false,
  "selections": (v4/*:: as any*/),
  "storageKey": null
};
return {
  "fragment": {
    "argumentDefinitions": [
      (v0/*:: as any*/),
      (v1/*:: as any*/),
      (v2/*:: as any*/)
    ],
    "kind": "Fragment",
    "metadata": null,
    "name": "operationsFollowMutation",
    "selections": [
      {
        "alias": null,
        "args": (v3/*:: as any*/),
        "concreteType": "FollowAuthorPayload",
        "kind": "LinkedField",
        "name": "followAuthor",
        "plural": false,
        "selections": [
          (v5/*:: as any*/),
          (v6/*:: as any*/)
        ],
        "storageKey": null
      }
    ],
    "type": "Mutation",
    "abstractKey": null
  },
  "kind": "Request",
  "operation": {
    "argumentDefinitions": [
      (v2/*:: as any*/),
      (v0/*:: as any*/),
      (v1/*:: as any*/)
    ],
    "kind": "Operation",
    "name": "operationsFollowMutation",
    "selections": [
      {
        "alias": null,
        "args": (v3/*:: as any*/),
        "concreteType": "FollowAuthorPayload",
        "kind": "LinkedField",
        "name": "followAuthor",
        "plural": false,
        "selections": [
          (v5/*:: as any*/),
          {
            "alias": null,
            "args": null,
            "filters": null,
            "handle": "prependEdge",
            "key": "",
            "kind": "LinkedHandle",
            "name": "followerEdge",
            "handleArgs": [
              {
                "kind": "Variable",
                "name": "connections",
                "variableName": "followers"
              }
            ]
          },
          (v6/*:: as any*/),
          {
            "alias": null,
            "args": null,
            "filters": null,
            "handle": "prependEdge",
            "key": "",
            "kind": "LinkedHandle",
            "name": "followingEdge",
            "handleArgs": [
              {
                "kind": "Variable",
                "name": "connections",
                "variableName": "following"
              }
            ]
          }
        ],
        "storageKey": null
      }
    ]
  },
  "params": {
    "cacheID": "76d5513d5b458f04897eb22b19e2ba0d",
    "id": null,
    "metadata": {},
    "name": "operationsFollowMutation",
    "operationKind": "mutation",
    "text": "mutation operationsFollowMutation(\n  $input: FollowAuthorInput!\n) {\n  followAuthor(input: $input) {\n    followerEdge {\n      cursor\n      node {\n        id\n        username\n      }\n    }\n    followingEdge {\n      cursor\n      node {\n        id\n        username\n      }\n    }\n  }\n}\n"
  }
};
})();

(node as any).hash = "0496e8196aba8d67d8694442e6c793c7";

export default node;
