/**
 * What A2A 1.0 says that servers MUST do, in our words, each with its place in the specification. Tests cite them as
 * `[CORE-SEND-001]`, in a comment above them; test/unit/requirements.test.ts holds the two together. The ids are those
 * of the conformance kit where it has one.
 */
export interface Requirement {
  id: string;
  /** Of the specification, as its anchors are called. */
  section: string;
  text: string;
}

const specification = 'https://a2a-protocol.org/latest/specification/';

export const getLink = ({ section }: Requirement): string => `${specification}#${section}`;

const must = (id: string, section: string, text: string): Requirement => ({ id, section, text });

export const requirements: readonly Requirement[] = [
  // Operations
  must('CORE-SEND-001', '311-send-message', 'A send is answered with a task or with a message.'),
  must('CORE-SEND-002', '311-send-message', 'A message to a task at its end is refused.'),
  must('CORE-SEND-003', '311-send-message', 'Media types that the agent does not take are refused as such.'),
  must('CORE-STREAM-001', '312-send-streaming-message', 'A streaming send opens a stream of updates.'),
  must(
    'CORE-STREAM-002',
    '312-send-streaming-message',
    'A stream has a message alone, or a task and its events: here always a task, which a client can come back to.',
  ),
  must(
    'CORE-STREAM-003',
    '312-send-streaming-message',
    'A stream of a task begins with it and closes at its end.',
  ),
  must('CORE-GET-001', '313-get-task', 'Reading a task gives its current state.'),
  must('CORE-GET-002', '313-get-task', 'A task that does not exist is not found.'),
  must('CORE-LIST-001', '314-list-tasks', 'A list has only tasks that its caller may see.'),
  must('CORE-LIST-002', '314-list-tasks', 'Lists come in pages with a cursor.'),
  must('CORE-LIST-003', '314-list-tasks', 'The task whose status changed last comes first.'),
  must('CORE-LIST-004', '314-list-tasks', 'The last page has an empty nextPageToken.'),
  must('CORE-LIST-005', '314-list-tasks', 'Without includeArtifacts a list has no field for them.'),
  must('CORE-CANCEL-001', '315-cancel-task', 'Cancelling returns the task in its new state.'),
  must('CORE-CANCEL-002', '315-cancel-task', 'A task at its end cannot be canceled.'),
  must('CORE-CANCEL-003', '315-cancel-task', 'Cancelling a task that does not exist finds none.'),
  must('STREAM-SUB-001', '316-subscribe-to-task', 'A subscription begins with the task as it is.'),
  must('STREAM-SUB-002', '316-subscribe-to-task', 'A subscription closes when the task is at its end.'),
  must('STREAM-SUB-003', '316-subscribe-to-task', 'A task at its end cannot be subscribed to.'),
  must('STREAM-SUB-004', '316-subscribe-to-task', 'Subscribing to a task that does not exist finds none.'),
  must(
    'PUSH-CREATE-001',
    '317-create-push-notification-config',
    'A config is made, and updates are sent to it.',
  ),
  must(
    'PUSH-CREATE-002',
    '317-create-push-notification-config',
    'A config lasts until its task ends or it is deleted.',
  ),
  must('PUSH-GET-001', '318-get-push-notification-config', 'A config is read as it was made.'),
  must(
    'PUSH-GET-002',
    '318-get-push-notification-config',
    'A config that is not there, or is foreign, is not found.',
  ),
  must('PUSH-LIST-001', '319-list-push-notification-configs', 'All configs of a task are listed.'),
  must(
    'PUSH-DEL-001',
    '3110-delete-push-notification-config',
    'A deleted config is gone, and nothing is sent to it.',
  ),
  must(
    'PUSH-DEL-002',
    '3110-delete-push-notification-config',
    'Deleting it again changes nothing and is no error.',
  ),
  must('CARD-EXT-001', '3111-get-extended-agent-card', 'The extended card is for callers who authenticate.'),
  must(
    'CARD-EXT-002',
    '3111-get-extended-agent-card',
    'A card that is declared but not configured is an error of its own: here one that is declared is there.',
  ),
  must(
    'CORE-EXECUTION-MODE-001',
    '322-sendmessageconfiguration',
    'A waiting send waits for an end or an interruption.',
  ),
  must(
    'CORE-EXECUTION-MODE-002',
    '322-sendmessageconfiguration',
    'An immediate send returns while the task goes on.',
  ),
  must('CORE-HIST-002', '324-history-length-semantics', 'The history is no longer than was asked for.'),
  must('CORE-ERR-001', '332-error-handling', 'Errors are those of the specification and say what to do.'),
  must('CORE-ERR-002', '332-error-handling', 'Parameters are validated before anything is done.'),
  must('CORE-ERR-003', '332-error-handling', 'A call with missing or wrong credentials is refused.'),
  must('AUTH-SCOPE-003', '332-error-handling', 'What is foreign is answered like what does not exist.'),
  must(
    'CORE-CAP-001',
    '334-capability-validation',
    'Webhooks that the card does not declare are refused as such.',
  ),
  must(
    'CORE-CAP-002',
    '334-capability-validation',
    'Streams that the card does not declare are unsupported.',
  ),
  must('CORE-CAP-003', '334-capability-validation', 'An extended card that is not declared is unsupported.'),
  must(
    'CORE-CAP-004',
    '334-capability-validation',
    'A call without a required extension is refused as such.',
  ),
  must('CORE-MULTI-001a', '341-context-identifier-semantics', 'A new contextId is in the answer.'),
  must(
    'CORE-MULTI-002a',
    '341-context-identifier-semantics',
    'A contextId that cannot be taken is refused, not replaced.',
  ),
  must(
    'CORE-MULTI-003',
    '342-task-identifier-semantics',
    'Each new task has an id of its own, and the answer has it.',
  ),
  must(
    'CORE-MULTI-004',
    '342-task-identifier-semantics',
    'A message to a task that does not exist finds none.',
  ),
  must(
    'CORE-MULTI-005',
    '343-multi-turn-conversation-patterns',
    'The context is that of the task that is named.',
  ),
  must(
    'CORE-MULTI-006',
    '343-multi-turn-conversation-patterns',
    'A contextId that is not the task’s is refused.',
  ),
  must(
    'STREAM-ORDER-001',
    '352-streaming-event-delivery',
    'Events come in the order in which they were made.',
  ),
  must('STREAM-ORDER-002', '352-streaming-event-delivery', 'Every open stream of a task gets its events.'),
  must(
    'STREAM-ORDER-003',
    '352-streaming-event-delivery',
    'Every stream gets the same events in the same order.',
  ),
  must(
    'STREAM-ORDER-004',
    '352-streaming-event-delivery',
    'Closing one stream leaves the others as they are.',
  ),
  must('VER-SERVER-001', '362-server-responsibilities', 'A request is served by the version that it names.'),
  must('VER-SERVER-002', '362-server-responsibilities', 'A version that is not served is refused as such.'),
  must('VER-SERVER-003', '362-server-responsibilities', 'No version means 0.3.'),
  must('VER-PATCH-001', '36-versioning', 'Patch numbers play no part in which versions go together.'),
  // Data
  must('DM-TASK-001', '411-task', 'A task has an id and a status.'),
  must('DM-TASK-002', '413-taskstate', 'States are those of the specification.'),
  must('DM-MSG-001', '414-message', 'A message has an id, a role and parts.'),
  must('DM-MSG-002', '415-role', 'The role is user or agent.'),
  must('DM-PART-001', '416-part', 'A part has one content.'),
  must('DM-ART-001', '417-artifact', 'An artifact has an id and parts.'),
  must('DM-STATUS-001', '412-taskstatus', 'A status has a state.'),
  must('PUSH-DELIVER-001', '433-push-notification-payload', 'A webhook is sent with its credentials.'),
  must(
    'PUSH-DELIVER-002',
    '433-push-notification-payload',
    'Every update is sent at least once to every config.',
  ),
  must(
    'PUSH-DELIVER-003',
    '433-push-notification-payload',
    'A webhook has the form of an event of a stream.',
  ),
  // Bindings
  must('BIND-EQUIV-001', '51-functional-equivalence-requirements', 'All bindings have all operations.'),
  must('BIND-EQUIV-002', '51-functional-equivalence-requirements', 'All bindings give the same results.'),
  must('BIND-EQUIV-003', '51-functional-equivalence-requirements', 'All bindings tell errors alike.'),
  must('BIND-EQUIV-004', '51-functional-equivalence-requirements', 'All bindings take the same credentials.'),
  must('BIND-FIELD-001', '52-protocol-selection-and-negotiation', 'The card declares every binding.'),
  must('BIND-ERR-001', '54-error-code-mappings', 'Every error has the code that its binding has for it.'),
  must('DM-SERIAL-001', '55-json-field-naming-convention', 'JSON has names in camelCase.'),
  must('DM-SERIAL-002', '55-json-field-naming-convention', 'JSON has enums by their names.'),
  must('DM-SERIAL-003', '561-timestamps', 'Times are ISO 8601 in UTC.'),
  must('DM-SERIAL-004', '57-field-presence-and-optionality', 'Required fields are there, and asked for.'),
  must('JSONRPC-FMT-001', '93-base-request-structure', 'Requests are those of JSON-RPC 2.0.'),
  must('JSONRPC-SVC-002', '92-service-parameter-transmission', 'JSON-RPC has service parameters in headers.'),
  must('JSONRPC-ERR-003', '95-error-handling', 'Details of errors of JSON-RPC say their type.'),
  must('GRPC-META-001', '102-service-parameter-transmission', 'gRPC has service parameters in metadata.'),
  must('GRPC-ERR-001', '106-error-handling', 'Errors of gRPC carry an ErrorInfo.'),
  must(
    'HTTP_JSON-SVC-002',
    '112-service-parameter-transmission',
    'HTTP+JSON has service parameters in headers.',
  ),
  must(
    'HTTP_JSON-QP-001',
    '115-query-parameter-naming-for-request-parameters',
    'Parameters of queries are in camelCase.',
  ),
  must('HTTP_JSON-ERR-002', '116-error-handling', 'Errors of HTTP+JSON carry an ErrorInfo.'),
  // Callers
  must(
    'AUTH-TLS-001',
    '71-protocol-security',
    'In production, connections are encrypted: the platform ends TLS, and credentials are asked for at https alone.',
  ),
  must('AUTH-SERVER-002', '74-server-authentication-responsibilities', 'Every request is authenticated.'),
  must(
    'AUTH-INTASK-001',
    '761-in-task-authorization-agent-responsibilities',
    'What waits for leave is a task.',
  ),
  must('AUTH-INTASK-002', '761-in-task-authorization-agent-responsibilities', 'It is then in auth-required.'),
  must(
    'AUTH-INTASK-003',
    '761-in-task-authorization-agent-responsibilities',
    'Its status says what leave is asked for.',
  ),
  must(
    'AUTH-INTASK-004',
    '764-in-task-authorization-scope',
    'Leave is for what was asked about, and for nothing else.',
  ),
  must('AUTH-SCOPE-001', '131-data-access-and-authorization-scoping', 'Every operation checks who calls.'),
  must(
    'AUTH-SCOPE-002',
    '131-data-access-and-authorization-scoping',
    'Results are the caller’s, whatever the filter.',
  ),
  must(
    'AUTH-SECRET-001',
    '134-general-security-best-practices',
    'Credentials are secrets, and logs have none.',
  ),
  must('PUSH-SSRF-001', '1411-applicationa2ajson', 'Addresses of others are checked before they are called.'),
  // The card
  must('CARD-DISC-001', '81-purpose', 'There is a card, at its well-known address.'),
  must('CARD-PROTO-001', '83-protocol-declaration-requirements', 'The card declares its protocols.'),
  must(
    'CARD-PROTO-002',
    '831-supported-interfaces-declaration',
    'Each interface says its binding and its address.',
  ),
  must('CARD-STRUCT-001', '441-agentcard', 'The card has all fields that it must have.'),
  must(
    'CARD-SIGN-001',
    '841-canonicalization-requirements',
    'What is signed is canonical, and without signatures.',
  ),
  must('CARD-SIGN-003', '842-signature-format', 'A signature says its algorithm, type and key.'),
];
