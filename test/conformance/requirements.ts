/**
 * The requirements (MUST) of A2A 1.0 on servers, paraphrased, with links to the specification. Tests cite them as
 * `[CORE-SEND-001]`, and test/unit/repository/requirements.test.ts checks that every requirement is cited. The ids are those of the
 * conformance kit if it has one.
 */
export interface Requirement {
  id: string;
  /** The anchor of the section in the specification. */
  section: string;
  text: string;
}

const specification = 'https://a2a-protocol.org/latest/specification/';

export const getLink = ({ section }: Requirement): string => `${specification}#${section}`;

const must = (id: string, section: string, text: string): Requirement => ({ id, section, text });

export const requirements: readonly Requirement[] = [
  // Operations
  must('CORE-SEND-001', '311-send-message', 'SendMessage returns a task or a message.'),
  must('CORE-SEND-002', '311-send-message', 'A message to a task in a terminal state is refused.'),
  must(
    'CORE-SEND-003',
    '311-send-message',
    'Media types that the agent does not support are refused with ContentTypeNotSupportedError.',
  ),
  must('CORE-STREAM-001', '312-send-streaming-message', 'SendStreamingMessage opens a stream of updates.'),
  must(
    'CORE-STREAM-002',
    '312-send-streaming-message',
    'A stream contains a single message, or a task and its events. Longhaul always sends a task, so clients can reconnect.',
  ),
  must(
    'CORE-STREAM-003',
    '312-send-streaming-message',
    'The stream of a task starts with the task and closes when the task is terminal.',
  ),
  must('CORE-GET-001', '313-get-task', 'GetTask returns the current state of a task.'),
  must('CORE-GET-002', '313-get-task', 'A task that does not exist is not found.'),
  must('CORE-LIST-001', '314-list-tasks', 'ListTasks returns only tasks that the caller may see.'),
  must('CORE-LIST-002', '314-list-tasks', 'Lists are paginated with a cursor.'),
  must(
    'CORE-LIST-003',
    '314-list-tasks',
    'Tasks are sorted by the time of their last status change, newest first.',
  ),
  must('CORE-LIST-004', '314-list-tasks', 'The last page has an empty nextPageToken.'),
  must(
    'CORE-LIST-005',
    '314-list-tasks',
    'Without includeArtifacts, tasks in a list have no artifacts field.',
  ),
  must('CORE-CANCEL-001', '315-cancel-task', 'CancelTask returns the task in its new state.'),
  must('CORE-CANCEL-002', '315-cancel-task', 'A task in a terminal state cannot be canceled.'),
  must(
    'CORE-CANCEL-003',
    '315-cancel-task',
    'Canceling a task that does not exist returns TaskNotFoundError.',
  ),
  must('STREAM-SUB-001', '316-subscribe-to-task', 'A subscription starts with the current task.'),
  must('STREAM-SUB-002', '316-subscribe-to-task', 'A subscription closes when the task is terminal.'),
  must('STREAM-SUB-003', '316-subscribe-to-task', 'A task in a terminal state cannot be subscribed to.'),
  must(
    'STREAM-SUB-004',
    '316-subscribe-to-task',
    'Subscribing to a task that does not exist returns TaskNotFoundError.',
  ),
  must(
    'PUSH-CREATE-001',
    '317-create-push-notification-config',
    'A config is created, and updates are sent to it.',
  ),
  must(
    'PUSH-CREATE-002',
    '317-create-push-notification-config',
    'A config exists until its task ends or it is deleted.',
  ),
  must('PUSH-GET-001', '318-get-push-notification-config', 'A config is returned as it was created.'),
  must(
    'PUSH-GET-002',
    '318-get-push-notification-config',
    'A config that does not exist or belongs to another caller is not found.',
  ),
  must('PUSH-LIST-001', '319-list-push-notification-configs', 'All configs of a task are listed.'),
  must(
    'PUSH-DEL-001',
    '3110-delete-push-notification-config',
    'A deleted config is removed, and nothing more is sent to it.',
  ),
  must('PUSH-DEL-002', '3110-delete-push-notification-config', 'Deleting a config is idempotent.'),
  must(
    'CARD-EXT-001',
    '3111-get-extended-agent-card',
    'The extended card is served only to authenticated callers.',
  ),
  must(
    'CARD-EXT-002',
    '3111-get-extended-agent-card',
    'An extended card that is declared but not configured has its own error. In Longhaul, a declared card always exists.',
  ),
  must(
    'CORE-EXECUTION-MODE-001',
    '322-sendmessageconfiguration',
    'A blocking send waits for a terminal or interrupted state.',
  ),
  must(
    'CORE-EXECUTION-MODE-002',
    '322-sendmessageconfiguration',
    'A non-blocking send returns while the task continues.',
  ),
  must('CORE-HIST-002', '324-history-length-semantics', 'The history is not longer than requested.'),
  must(
    'CORE-ERR-001',
    '332-error-handling',
    'Errors are those of the specification, with messages that help to resolve them.',
  ),
  must('CORE-ERR-002', '332-error-handling', 'Parameters are validated before the operation starts.'),
  must('CORE-ERR-003', '332-error-handling', 'Requests with missing or invalid credentials are refused.'),
  must(
    'AUTH-SCOPE-003',
    '332-error-handling',
    'Resources of other callers are indistinguishable from missing ones.',
  ),
  must(
    'CORE-CAP-001',
    '334-capability-validation',
    'If the card does not declare webhooks, they are refused with PushNotificationNotSupportedError.',
  ),
  must(
    'CORE-CAP-002',
    '334-capability-validation',
    'If the card does not declare streaming, streams are refused with UnsupportedOperationError.',
  ),
  must(
    'CORE-CAP-003',
    '334-capability-validation',
    'If the card does not declare an extended card, it is refused with UnsupportedOperationError.',
  ),
  must(
    'CORE-CAP-004',
    '334-capability-validation',
    'A request without a required extension is refused with ExtensionSupportRequiredError.',
  ),
  must('CORE-MULTI-001a', '341-context-identifier-semantics', 'The response includes a generated contextId.'),
  must(
    'CORE-MULTI-002a',
    '341-context-identifier-semantics',
    'A contextId that cannot be accepted is refused, not replaced.',
  ),
  must(
    'CORE-MULTI-003',
    '342-task-identifier-semantics',
    'Each new task has a unique id, which the response includes.',
  ),
  must(
    'CORE-MULTI-004',
    '342-task-identifier-semantics',
    'A message to a task that does not exist returns TaskNotFoundError.',
  ),
  must(
    'CORE-MULTI-005',
    '343-multi-turn-conversation-patterns',
    'A message that names only a task belongs to the context of that task.',
  ),
  must(
    'CORE-MULTI-006',
    '343-multi-turn-conversation-patterns',
    'A contextId that differs from that of the task is refused.',
  ),
  must(
    'STREAM-ORDER-001',
    '352-streaming-event-delivery',
    'Events are delivered in the order in which they were created.',
  ),
  must('STREAM-ORDER-002', '352-streaming-event-delivery', 'Every open stream of a task gets its events.'),
  must(
    'STREAM-ORDER-003',
    '352-streaming-event-delivery',
    'Every stream gets the same events in the same order.',
  ),
  must('STREAM-ORDER-004', '352-streaming-event-delivery', 'Closing one stream does not affect the others.'),
  must(
    'VER-SERVER-001',
    '362-server-responsibilities',
    'A request is processed by the version that it names.',
  ),
  must(
    'VER-SERVER-002',
    '362-server-responsibilities',
    'A version that is not supported is refused with VersionNotSupportedError.',
  ),
  must('VER-SERVER-003', '362-server-responsibilities', 'A request without a version is processed as 0.3.'),
  must('VER-PATCH-001', '36-versioning', 'Patch numbers do not affect compatibility.'),
  // Data
  must('DM-TASK-001', '411-task', 'A task has an id and a status.'),
  must('DM-TASK-002', '413-taskstate', 'Task states are those of the specification.'),
  must('DM-MSG-001', '414-message', 'A message has an id, a role and parts.'),
  must('DM-MSG-002', '415-role', 'The role is user or agent.'),
  must('DM-PART-001', '416-part', 'A part has exactly one content.'),
  must('DM-ART-001', '417-artifact', 'An artifact has an id and parts.'),
  must('DM-STATUS-001', '412-taskstatus', 'A status has a state.'),
  must(
    'PUSH-DELIVER-001',
    '433-push-notification-payload',
    'Webhook requests carry the credentials of the config.',
  ),
  must(
    'PUSH-DELIVER-002',
    '433-push-notification-payload',
    'Every update is sent at least once to every config.',
  ),
  must(
    'PUSH-DELIVER-003',
    '433-push-notification-payload',
    'The body of a webhook has the format of a stream event.',
  ),
  // Bindings
  must('BIND-EQUIV-001', '51-functional-equivalence-requirements', 'All bindings offer all operations.'),
  must('BIND-EQUIV-002', '51-functional-equivalence-requirements', 'All bindings return the same results.'),
  must(
    'BIND-EQUIV-003',
    '51-functional-equivalence-requirements',
    'All bindings report errors consistently.',
  ),
  must(
    'BIND-EQUIV-004',
    '51-functional-equivalence-requirements',
    'All bindings accept the same credentials.',
  ),
  must('BIND-FIELD-001', '52-protocol-selection-and-negotiation', 'The card declares every binding.'),
  must('BIND-ERR-001', '54-error-code-mappings', 'Each error has the code that the binding defines for it.'),
  must('DM-SERIAL-001', '55-json-field-naming-convention', 'JSON field names are in camelCase.'),
  must('DM-SERIAL-002', '55-json-field-naming-convention', 'JSON enum values are their names.'),
  must('DM-SERIAL-003', '561-timestamps', 'Timestamps are in ISO 8601 and UTC.'),
  must(
    'DM-SERIAL-004',
    '57-field-presence-and-optionality',
    'Required fields are always sent, and required in requests.',
  ),
  must('JSONRPC-FMT-001', '93-base-request-structure', 'Requests have the format of JSON-RPC 2.0.'),
  must(
    'JSONRPC-SVC-002',
    '92-service-parameter-transmission',
    'JSON-RPC transmits service parameters in HTTP headers.',
  ),
  must('JSONRPC-ERR-003', '95-error-handling', 'Details of JSON-RPC errors name their type.'),
  must(
    'GRPC-META-001',
    '102-service-parameter-transmission',
    'gRPC transmits service parameters in metadata.',
  ),
  must('GRPC-ERR-001', '106-error-handling', 'gRPC errors include an ErrorInfo.'),
  must(
    'HTTP_JSON-SVC-002',
    '112-service-parameter-transmission',
    'HTTP+JSON transmits service parameters in headers.',
  ),
  must(
    'HTTP_JSON-QP-001',
    '115-query-parameter-naming-for-request-parameters',
    'Query parameters are in camelCase.',
  ),
  must('HTTP_JSON-ERR-002', '116-error-handling', 'HTTP+JSON errors include an ErrorInfo.'),
  // Callers
  must(
    'AUTH-TLS-001',
    '71-protocol-security',
    'Production connections are encrypted: the platform terminates TLS, and the card requests credentials only for https.',
  ),
  must('AUTH-SERVER-002', '74-server-authentication-responsibilities', 'Every request is authenticated.'),
  must(
    'AUTH-INTASK-001',
    '761-in-task-authorization-agent-responsibilities',
    'Work that waits for authorization is represented by a task.',
  ),
  must(
    'AUTH-INTASK-002',
    '761-in-task-authorization-agent-responsibilities',
    'The task is then in the state auth-required.',
  ),
  must(
    'AUTH-INTASK-003',
    '761-in-task-authorization-agent-responsibilities',
    'The status of the task describes the authorization that it needs.',
  ),
  must(
    'AUTH-INTASK-004',
    '764-in-task-authorization-scope',
    'An authorization applies only to the request that it was given for.',
  ),
  must(
    'AUTH-SCOPE-001',
    '131-data-access-and-authorization-scoping',
    'Every operation checks the authorization of its caller.',
  ),
  must(
    'AUTH-SCOPE-002',
    '131-data-access-and-authorization-scoping',
    'Results are limited to those of the caller, regardless of filters.',
  ),
  must(
    'AUTH-SECRET-001',
    '134-general-security-best-practices',
    'Credentials are kept secret and do not appear in logs.',
  ),
  must(
    'PUSH-SSRF-001',
    '1411-applicationa2ajson',
    'URLs from callers are validated before they are requested.',
  ),
  // The card
  must('CARD-DISC-001', '81-purpose', 'The card is served at its well-known address.'),
  must('CARD-PROTO-001', '83-protocol-declaration-requirements', 'The card declares its protocols.'),
  must(
    'CARD-PROTO-002',
    '831-supported-interfaces-declaration',
    'Each interface declares its binding and its URL.',
  ),
  must('CARD-STRUCT-001', '441-agentcard', 'The card has all required fields.'),
  must(
    'CARD-SIGN-001',
    '841-canonicalization-requirements',
    'The signature covers the canonical card without signatures.',
  ),
  must('CARD-SIGN-003', '842-signature-format', 'A signature names its algorithm, type and key.'),
];
