/**
 * @generated SignedSource<<7df036668a2e68d111dbcc44a125ddf7>>
 * @lightSyntaxTransform
 */

/* tslint:disable */
/* eslint-disable */
// @ts-nocheck

import { ConcreteRequest } from 'relay-runtime';
export type WaitFor = "ACCEPTED" | "COMMITTED" | "PROJECTED" | "%future added value";
export type PostCheepInput = {
  cheepId?: string | null | undefined;
  commandId?: string | null | undefined;
  inReplyTo?: string | null | undefined;
  message: string;
  waitFor?: WaitFor | null | undefined;
};
export type operationsPostMutation$variables = {
  cheeps: ReadonlyArray<string>;
  input: PostCheepInput;
  replies: ReadonlyArray<string>;
};
export type operationsPostMutation$data = {
  readonly postCheep: {
    readonly cheepEdge: {
      readonly cursor: string;
      readonly node: {
        readonly id: string;
        readonly message: string;
      };
    } | null | undefined;
    readonly replyEdge: {
      readonly cursor: string;
      readonly node: {
        readonly id: string;
        readonly message: string;
      };
    } | null | undefined;
  };
};
export type operationsPostMutation = {
  response: operationsPostMutation$data;
  variables: operationsPostMutation$variables;
};

const node: ConcreteRequest = (function(){
var v0 = {
  "defaultValue": null,
  "kind": "LocalArgument",
  "name": "cheeps"
},
v1 = {
  "defaultValue": null,
  "kind": "LocalArgument",
  "name": "input"
},
v2 = {
  "defaultValue": null,
  "kind": "LocalArgument",
  "name": "replies"
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
    "concreteType": "Cheep",
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
        "name": "message",
        "storageKey": null
      }
    ],
    "storageKey": null
  }
],
v5 = {
  "alias": null,
  "args": null,
  "concreteType": "CheepEdge",
  "kind": "LinkedField",
  "name": "cheepEdge",
  "plural": false,
  "selections": (v4/*:: as any*/),
  "storageKey": null
},
v6 = {
  "alias": "replyEdge",
  "args": null,
  "concreteType": "CheepEdge",
  "kind": "LinkedField",
  "name": "cheepEdge",
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
    "name": "operationsPostMutation",
    "selections": [
      {
        "alias": null,
        "args": (v3/*:: as any*/),
        "concreteType": "PostCheepPayload",
        "kind": "LinkedField",
        "name": "postCheep",
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
      (v1/*:: as any*/),
      (v0/*:: as any*/),
      (v2/*:: as any*/)
    ],
    "kind": "Operation",
    "name": "operationsPostMutation",
    "selections": [
      {
        "alias": null,
        "args": (v3/*:: as any*/),
        "concreteType": "PostCheepPayload",
        "kind": "LinkedField",
        "name": "postCheep",
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
            "name": "cheepEdge",
            "handleArgs": [
              {
                "kind": "Variable",
                "name": "connections",
                "variableName": "cheeps"
              }
            ]
          },
          (v6/*:: as any*/),
          {
            "alias": "replyEdge",
            "args": null,
            "filters": null,
            "handle": "appendEdge",
            "key": "",
            "kind": "LinkedHandle",
            "name": "cheepEdge",
            "handleArgs": [
              {
                "kind": "Variable",
                "name": "connections",
                "variableName": "replies"
              }
            ]
          }
        ],
        "storageKey": null
      }
    ]
  },
  "params": {
    "cacheID": "f2720e224fdf7639e573f82535c1d7f5",
    "id": null,
    "metadata": {},
    "name": "operationsPostMutation",
    "operationKind": "mutation",
    "text": "mutation operationsPostMutation(\n  $input: PostCheepInput!\n) {\n  postCheep(input: $input) {\n    cheepEdge {\n      cursor\n      node {\n        id\n        message\n      }\n    }\n    replyEdge: cheepEdge {\n      cursor\n      node {\n        id\n        message\n      }\n    }\n  }\n}\n"
  }
};
})();

(node as any).hash = "b86ca12334eb8016edf458803ca764a6";

export default node;
