// The out-of-process protocol, version 1: one JSON-RPC 2.0 message a line.
// Made by `jackfield schema rpc --write`; not to be changed by hand.

/** Any JSON value. */
export type Json = any;

/** What a principal may call, as patterns; what is left out allows everything. */
export interface Allow {
  models?: string[] | null;
  dialects?: string[] | null;
  operations?: string[] | null;
}

/** Where a call goes when its route could not serve it. */
export interface Alternative {
  model?: string | null;
  provider?: string | null;
  executor?: string | null;
  /** The causes of failure for which it is taken; none: for all but the caller's own. */
  on?: Cause[];
}

/** More of a tool call's arguments. */
export interface ArgumentsDelta {
  type: "arguments";
  choice?: number;
  index: number;
  text: string;
  extensions?: { [name: string]: { [name: string]: Json } };
}

/** An attempt. `body` is the client's until the request is translated, then the upstream's. */
export interface Attempt {
  /** JSON. */
  body?: Json;
  /** Text that is not valid JSON. */
  body_text?: string | null;
  /** Bytes that are not UTF-8; with the need `raw` any body, byte for byte. */
  body_base64?: string | null;
  /** The path of a file that holds the body, for what is too large for a message. */
  body_file?: string | null;
  /** What the body is. Default: "application/json". */
  media_type?: string;
  call: Call;
  /** Counted from 1. */
  number: number;
  /** The id of the pair of credential and model that was picked. */
  candidate: string;
  /** The credential's id. */
  credential: string;
  /** What the operator calls the credential. */
  label?: string;
  /** The provider's key. */
  provider: string;
  /** The upstream's name. */
  model: string;
  /** The upstream's. */
  dialect: string;
  /** The answer is to be streamed. */
  stream: boolean;
  /** What goes upstream, but for the key. */
  headers?: Pairs;
  /** Likewise. */
  query?: Pairs;
  /** The credential's own. */
  base_url?: string | null;
  /** The upstream route in that dialect. */
  path?: string | null;
  /** Its method. Default: "POST". */
  method?: string;
  /** What the client's path named, such as the id of a resource. Likewise with the need `headers`. */
  params?: { [name: string]: string };
  /** Objects of `Continuity`: where the provider is told which requests continue one another. With the need `headers`. */
  continuity?: Continuity[];
  /** Paths at which such requests say a name of their own for that. Likewise. */
  cache?: ((string | number)[])[];
  /** Why earlier attempts of the call failed. */
  before?: Failed[];
  /** The canonical request. */
  request?: Request;
  /** As in `Call`. */
  undecoded?: RpcError | null;
  /** The credential's key or token: with the need `secret`, and only to a plugin that the configuration names. */
  secret?: string | null;
}

/** Sound: what a user said, or what a model answered. */
export interface Audio {
  type: "audio";
  source?: Source | null;
  /** `wav`, `mp3`, `pcm16` ... */
  format?: string | null;
  transcript?: string | null;
  id?: string | null;
  expires_at?: number | null;
  cache?: Cache | null;
  extensions?: { [name: string]: { [name: string]: Json } };
}

/** More sound: base64 data, words of the transcript, or both. */
export interface AudioDelta {
  type: "audio";
  choice?: number;
  index: number;
  data?: string;
  transcript?: string;
  extensions?: { [name: string]: { [name: string]: Json } };
}

/** Params of `host.auth.changed`. */
export interface AuthChanged {
  /** The source's name. */
  source: string;
}

/** Params of `host.auth.get` and `get_runtime`. */
export interface AuthGet {
  /** The id of the host's request, also of one that opened a stream which is not over. Without it: on the plugin's own account. */
  for?: number | string | null;
  /** The credential's id. */
  id: string;
}

/** How the host puts a credential's key on requests: `header: scheme key`. */
export interface AuthPlace {
  /** Environment variables that hold a key; the first that is set makes a credential. */
  env?: string[];
  /** The header's name. Default: "Authorization". */
  header?: string;
  /** Empty: the header's whole value is the key. Default: "Bearer". */
  scheme?: string;
}

/** Params of `host.auth.save`: keep credentials that belong together, all or none, and use them. */
export interface AuthSave {
  /** The id of the host's request, also of one that opened a stream which is not over. Without it: on the plugin's own account. */
  for?: number | string | null;
  credentials: CredentialAbout[];
  /** The name of the source that keeps them. Without it: one of the plugin's own that can, else another. */
  source?: string | null;
}

/** The answer of `frontend_auth.authenticate`: one of the two. */
export interface Authenticated {
  principal?: Principal | null;
  /** Why the key is wrong. */
  reject?: string | null;
}

/** The answer starts. */
export interface Begin {
  type: "begin";
  id?: string;
  model?: string;
  created?: number | null;
  service_tier?: string | null;
  /** What the provider counted before it answered. */
  usage?: Usage | null;
  extensions?: { [name: string]: { [name: string]: Json } };
}

/** What is at fault and may cool: the request (nothing cools), the credential, the credential for this model, the whole provider, or a plugin. */
export type Blame = "request" | "credential" | "credential_model" | "provider" | "plugin";

/** What a plugin has to keep to. */
export interface Bounds {
  /** Most bytes of one message, its line end included. */
  frame: number;
  /** Bodies from so many bytes on come as `body_file`. */
  body_file: number;
}

/** A marker: what comes before this place, and the part itself, may be cached by the provider. */
export interface Cache {
  /** How long, in the provider's words (`5m`, `1h`); null for its default. */
  ttl?: string | null;
}

/** A call, as far as the hook needs it. `body` is the client's. */
export interface Call {
  /** JSON. */
  body?: Json;
  /** Text that is not valid JSON. */
  body_text?: string | null;
  /** Bytes that are not UTF-8; with the need `raw` any body, byte for byte. */
  body_base64?: string | null;
  /** The path of a file that holds the body, for what is too large for a message. */
  body_file?: string | null;
  /** What the body is. Default: "application/json". */
  media_type?: string;
  id: string;
  /** The id of the call in which it was made, if in one. */
  parent?: string | null;
  /** How many calls it stands in. */
  depth?: number;
  /** The client's wire protocol, by its name. */
  dialect: string;
  operation: Operation | string;
  /** The name that the client asked for. */
  model: string;
  /** The client wants a streamed answer. */
  stream: boolean;
  /** Its name. */
  principal: string;
  /** Of the client's request. With the need `headers`. Default: "POST". */
  method?: string;
  /** With the need `headers`. */
  path?: string;
  /** With the need `headers`. */
  session?: string | null;
  /** The client's address. With the need `headers`. */
  peer?: string | null;
  /** Without the client's keys and cookies; with the need `secret`, `authenticate` is sent them too. */
  headers?: Pairs;
  /** With the need `headers`. */
  query?: Pairs;
  /** The query keys in which clients of the dialect send their key. With the need `secret`. */
  key_query?: string[];
  /** The canonical request. */
  request?: Request;
  /** Why there is no `request`. With the need of that name; without it the hook is not called. */
  undecoded?: RpcError | null;
  /** What a router decided. */
  route?: Route | null;
}

/** `$/cancel`: nobody waits for the answer to a request any more, which is answered all the same; a stream that it opened ends. */
export interface Cancel {
  /** The request's id. */
  id: number | string;
}

/** Why an attempt failed: the caller's own mistake; a refused credential; an account whose owner must act (verify, pay); a spent quota; a rate limit; an overloaded provider; a fault of the provider; of the way to it; content that it refuses; something that it cannot do; a plugin's fault; unknown. */
export type Cause = "caller" | "credential" | "account_action" | "quota" | "rate" | "overload" | "upstream" | "network" | "content" | "unsupported" | "plugin" | "unknown";

/** `plugin.challenge`: prove that you know the secret. Both sides prove it, over a socket that has one. */
export interface Challenge {
  /** The id under which the configuration knows the plugin. */
  plugin: string;
  /** Random; 64 hexadecimal digits. */
  challenge: string;
}

/** What a hook wants changed: one of `set`/`remove`, `request`, `response`, a body, or `respond`; and headers beside it. */
export interface Change {
  /** JSON. */
  body?: Json;
  /** Text that is not valid JSON. */
  body_text?: string | null;
  /** Bytes that are not UTF-8; with the need `raw` any body, byte for byte. */
  body_base64?: string | null;
  /** The path of a file that holds the body, for what is too large for a message. */
  body_file?: string | null;
  /** What the body is. Default: "application/json". */
  media_type?: string;
  /** Values by JSON Pointer (RFC 6901); all other bytes stay. */
  set?: { [name: string]: Json };
  /** JSON Pointers of what is taken out. */
  remove?: string[];
  /** A canonical request. */
  request?: Request;
  /** A canonical answer. */
  response?: Response;
  /** Ends the call with this answer. */
  respond?: Reply | null;
  /** Headers to set by name; null takes one away. */
  headers?: { [name: string]: string | null };
  /** Of `response.normalize` on a stream: send its events. */
  handle?: boolean;
}

/** One of the answers to a request; most requests have one. */
export interface Choice {
  message?: Message;
  index?: number;
  finish?: FinishReason | null;
  /** The sequence that ended the answer, where the provider names it. */
  stop_sequence?: string | null;
  logprobs?: Logprobs | null;
  extensions?: { [name: string]: { [name: string]: Json } };
}

/** One place that a text refers to. */
export interface Citation {
  /** Default: "url". */
  kind?: "url" | "document" | "file" | "search_result" | "other";
  url?: string | null;
  title?: string | null;
  /** The cited words of the source. */
  quote?: string | null;
  /** First character of the text that the citation covers. */
  start?: number | null;
  end?: number | null;
  extensions?: { [name: string]: { [name: string]: Json } };
}

/** One more citation of a text. */
export interface CitationDelta {
  type: "citation";
  choice?: number;
  index: number;
  citation: Citation;
  extensions?: { [name: string]: { [name: string]: Json } };
}

/** Params of `response.intercept_stream_chunk.close`. Those with which the answer ends may come after it: null keeps them. */
export interface CloseStream {
  stream: string;
  outcome: Outcome;
  /** Seconds from now, after which nobody waits for the answer. */
  deadline?: number | null;
}

/** What a handler adds before the end. */
export interface Closing {
  events?: NewEvent[];
}

/** A command of the command line. */
export interface CommandDeclared {
  name: string;
  help?: string;
}

/** What a command did. */
export interface CommandDone {
  exit_code?: number;
  /** For the standard output. */
  output?: string;
  /** For the standard error. */
  errors?: string;
}

/** The answer of `command_line.register`. */
export interface Commands {
  commands?: CommandDeclared[];
}

/** Where a provider is told that requests continue one another, so that they get to where their prompts are cached. */
export interface Continuity {
  /** The upstream dialects in which that can be said. */
  dialects: string[];
  /** Fields of the body for it. */
  body?: ((string | number)[])[];
  /** Headers for it. */
  headers?: string[];
  /** Where the provider says so: a URL. */
  source?: string;
}

/** A credential. `key` is there only for plugins that may know it: those that bring it, and those with a grant and the need `secret`. */
export interface CredentialAbout {
  /** Stable, and never the key itself. Where it is empty it is `identity`. */
  id?: string;
  provider: string;
  /** The key or access token; null where none is needed. */
  key?: string | null;
  /** Unix time from which on the key is not accepted any more. */
  expires_at?: number | null;
  /** Unix time at which its source wants to refresh it. */
  refresh_at?: number | null;
  /** With what a fresh key is asked for. Told to those who may know the key. */
  refresh_token?: string | null;
  /** What stays the same of the account at its provider, whoever logs in and whenever: an account's id, not a token. */
  subject?: string;
  /** Which of the subject's workspaces, organisations or projects it acts in. One subject has a credential for each. */
  workspace?: string;
  /** What the operator calls it. */
  label?: string;
  /** Stands in for the provider's, taken literally. */
  base_url?: string | null;
  /** Its models are also called `prefix/model`. */
  prefix?: string | null;
  /** The tier: higher first. */
  priority?: number;
  /** Default: 1.0. */
  weight?: number;
  /** The URL of the proxy for all of its traffic; `direct` for none. */
  proxy?: string | null;
  /** Nothing is sent where its proxy cannot be used: it never goes past it. */
  proxy_strict?: boolean;
  /** Headers for each of its requests. The value `$X` copies the client's header `X`, but none that holds a key or a cookie. */
  headers?: { [name: string]: string };
  /** Patterns of the models that it may serve; null for all of its provider's. */
  models?: string[] | null;
  /** Patterns of those that it may not. */
  excluded?: string[];
  /** Further names of models; as in the configuration. */
  aliases?: { [name: string]: Json };
  /** For how long it is passed over after a failure; as in the configuration. */
  cooldown?: { [name: string]: number } | null;
  /** What it may be used for at most: `rpm`, `tpm`, `rpd`, `tpd`: requests and tokens a minute and a day. */
  limits?: { [name: string]: number } | null;
  disabled?: boolean;
  notes?: string;
  /** A key, or the access token of an account. Default: "key". */
  kind?: "key" | "oauth";
  /** Where it was read: `jackfield.yaml: credentials[2]`, `$ACME_API_KEY`. */
  origin?: string;
  /** What its source keeps with it. Provisional. */
  storage?: { [name: string]: Json };
}

/** How a credential is, in this process. */
export interface CredentialState {
  id: string;
  /** `resting` for a model at least; `off`: it was switched off, or its provider was. Default: "ok". */
  state?: "ok" | "resting" | "off";
  resting?: Rest[];
  /** As the latest answer told. */
  quota?: QuotaWindow[];
  /** Attempts under way. */
  in_flight?: number;
  /** Unix time; 0 for never. */
  last_used?: number;
  /** Seconds to the first byte, a decaying mean; null before the first answer. */
  latency?: number | null;
}

/** Credentials, and what is wrong with single ones. */
export interface Credentials {
  credentials?: CredentialAbout[];
  /** A line each: where, what, what to do. */
  problems?: string[];
}

/** `stream.credit`: so many items more may be sent. */
export interface Credit {
  stream: string;
  credit: number;
}

/** One step of a streamed answer. */
export type Delta = Begin | PartStart | TextDelta | ThinkingDelta | ArgumentsDelta | SignatureDelta | CitationDelta | AudioDelta | LogprobsDelta | PartEnd | Finish | UsageDelta | StreamError | OpaqueDelta | Done;

/** A file to be read, such as a PDF, or a text given as a document. */
export interface Document {
  type: "document";
  source?: Source | null;
  text?: string | null;
  /** The file's name or the document's title. */
  title?: string | null;
  context?: string | null;
  /** The model is asked to cite from it. */
  citations?: boolean | null;
  cache?: Cache | null;
  extensions?: { [name: string]: { [name: string]: Json } };
}

/** The answer is complete. Nothing follows. */
export interface Done {
  type: "done";
  extensions?: { [name: string]: { [name: string]: Json } };
}

/** `stream.end`: nothing more comes. */
export interface EndOfStream {
  stream: string;
  error?: RpcError | null;
}

/** An error as a dialect writes it: what a client reads or an upstream wrote. */
export interface Error {
  /** Default: 500. */
  status?: number;
  message: string;
  /** The dialect's class of error, such as `invalid_request_error`; null lets the dialect choose by the status. */
  type?: string | null;
  code?: string | null;
  /** The field of the request at fault. */
  param?: string | null;
  /** Seconds. */
  retry_after?: number | null;
  extensions?: { [name: string]: Json };
}

/** One event of a stream that a handler sees: `index` and `name` always, the rest by the needs of its opening. */
export interface Event {
  /** Counted from 0. */
  index: number;
  /** As the stream names it; may be empty. */
  name?: string;
  /** Its JSON, with the need `body`. */
  data?: Json;
  /** The words that it adds, with the need `request`; so are the five below. */
  text?: string;
  thinking?: string;
  arguments?: string;
  /** Why the model stopped. */
  finish?: string | null;
  usage?: Usage | null;
  /** The stream breaks off with it. */
  error?: Error | null;
  /** With the need `deltas`. */
  deltas?: Delta[];
  /** Its bytes as text, with the need `raw`. */
  raw?: string | null;
}

/** What becomes of one event; null keeps it. `events` stand in its place, none drop it; `text` is short for one with other words. */
export interface EventAnswer {
  text?: string | null;
  events?: NewEvent[] | null;
  /** The stream ends here, after `events`. */
  end?: FinishReason | null;
  /** The handler failed at this event, which is kept: why. */
  failed?: string | null;
}

/** The answer of `response.intercept_stream_chunk.event`; null keeps all events. */
export interface EventAnswers {
  /** One for each event, in order; those left out at the end are kept. */
  answers?: (EventAnswer | null)[];
}

/** Params of `executor.execute`, `count_tokens` and `http_request`. */
export interface Execute {
  attempt: Attempt;
  /** Seconds from now, after which nobody waits for the answer. */
  deadline?: number | null;
}

/** Params of `executor.execute_stream`. Answered with a Reply: whole, or with `stream: true`, after which items come. */
export interface ExecuteStream {
  attempt: Attempt;
  /** Seconds from now, after which nobody waits for the answer. */
  deadline?: number | null;
  /** Names the stream in `stream.item`, `stream.end` and `stream.credit`. */
  stream: string;
  /** Items that may be sent before more credit comes. */
  credit: number;
}

/** Why an attempt failed. */
export interface Failed {
  cause: Cause;
  /** For people, in a sentence. */
  message?: string;
  /** The upstream's status; 0 where there was no answer. */
  status?: number;
  /** A word for programs, such as `model_not_found`. */
  code?: string | null;
  /** Seconds. */
  retry_after?: number | null;
}

/** What an error says beside its message: `data` of a JSON-RPC error. A plugin may leave all of it out. */
export interface Fault {
  /** Where it is left out: for an attempt what the provider's `failures` make of `status`, if that is there; else the plugin's fault. */
  cause?: Cause | null;
  /** Follows from the cause unless it is given. */
  blame?: Blame | null;
  /** Whether trying again may help, and with whom. Likewise. */
  help?: Help | null;
  /** The HTTP status, where there was an answer. */
  status?: number;
  /** A word for programs, such as `model_not_found`. */
  code?: string | null;
  /** The field of the client's request that is at fault. */
  param?: string | null;
  /** Seconds. */
  retry_after?: number | null;
  /** Trying again may help even after a part of the answer was sent. */
  safe_after_first_byte?: boolean;
  /** The HTTP status for the client, where the cause does not decide it. */
  shown?: number | null;
  /** Headers of the answer. */
  headers?: Pairs;
  /** What was answered, as text. */
  body?: string;
  /** Likewise, where that is not UTF-8. */
  body_base64?: string | null;
  /** For the log alone: clients are never told. */
  detail?: string;
  /** Where the owner of an account must go. */
  link?: string | null;
  /** For a refused configuration: where in the plugin's section, and what. */
  problems?: [string, string][];
}

/** What is sent where a field is missing or null. */
export interface Fill {
  value: Json;
  /** Only in objects that have this field too, neither null nor empty. */
  beside?: string | null;
}

/** A choice is complete. */
export interface Finish {
  type: "finish";
  choice?: number;
  reason: FinishReason;
  stop_sequence?: string | null;
  extensions?: { [name: string]: { [name: string]: Json } };
}

/** Why the model stopped: it was done; the token limit; it wants tools run; a filter; it declined; a stop sequence; it paused and wants to be called again; the context window; an error; something else (the dialect's word is in `extensions`). */
export type FinishReason = "stop" | "length" | "tool_calls" | "content_filter" | "refusal" | "stop_sequence" | "pause" | "context_length" | "error" | "other";

/**
 * One way in which a server's requests differ from its dialect's. All that fit a request apply together.
 *
 * Fields are named by path: `top_p`, `stream_options.include_usage`, `messages[*].name`, where `[*]` stands for each
 * item of an array. What is not there is not missed.
 */
export interface Flavour {
  /** The reason, as it stands in the list of losses: `not taken by reasoning models`. */
  why?: string;
  /** Where the provider says so: a URL. */
  source?: string;
  /** Upstream names of the models for which it holds, with `*` for any text. Default: "*". */
  models?: string | string[];
  /** Models for which it does not hold although `models` fits. */
  excluded?: string | string[];
  /** The upstream dialect in which it holds; null: in any. */
  dialect?: string | null;
  /** Default: "generate". */
  operation?: Operation;
  /** It holds only for requests in which each of these fields holds one of these texts. */
  when?: { [name: string]: string[] };
  /** It does not hold for requests in which one of these fields holds one of these texts. */
  unless?: { [name: string]: string[] };
  /** The only fields at the top of the body that are taken: all others are dropped. Where several flavours say it, what all of them accept. */
  accept?: string[] | null;
  /** Fields that are taken out. */
  drop?: string[];
  /** Fields that bear another name: the path to the new last name. Where one of that name is there already, the old is dropped. */
  rename?: { [name: string]: string };
  /** Values that are said otherwise, by field: the text that a field holds to what is sent instead; null drops the field. The text `*` stands for every value that is not named. */
  values?: { [name: string]: { [name: string]: Json } };
  /** Figures that must lie in a range, by field; those outside are moved to its end. */
  clamp?: { [name: string]: [number, number] };
  /** Fields that must be there, by path. */
  fill?: { [name: string]: Fill };
  /** First lines that are taken out of texts, by field: how they begin. A text of which nothing is left goes too, together with the item of an array in which it is the field: `system[*].text`. */
  lines?: { [name: string]: string };
}

/** Params of `model.for_auth`: which models may this credential call? */
export interface ForAuth {
  provider: string;
  credential: CredentialAbout;
  /** Seconds from now, after which nobody waits for the answer. */
  deadline?: number | null;
}

/** The answer that asks for the events of a stream; null wants none. */
export interface Handle {
  /** Whether to send them. Default: true. */
  handle?: boolean;
}

/** What is known of a stream before its first event. */
export interface Head {
  status: number;
  /** With the need `headers`. */
  headers?: Pairs;
  /** The upstream's name. */
  model?: string;
  /** The provider's key. */
  provider?: string;
}

/** What may help: another credential, the same one later, or nothing (the request itself must change). */
export type Help = "another" | "same_later" | "none";

/** How a plugin takes part in one method. */
export interface HookDeclared {
  /** What it is to be sent beside what every hook is. */
  needs?: Needs[];
  /** Whether a failure is passed over (`open`) or fails what the hook guards (`closed`). Without it as the hook has it. */
  on_error?: "open" | "closed" | null;
  /** Its place in the order of this hook: higher first. */
  priority?: number | null;
  /** Seconds. */
  deadline?: number | null;
  /** For `scheduler.pick`: send the pool as a table that the plugin keeps, instead of whole rows each time. */
  table?: boolean;
  /** Call it only where the configuration selects the plugin as a scheduler: for hooks that go with `scheduler.pick`. */
  selected?: boolean;
}

/** Who asks. */
export interface HostAbout {
  version: string;
  /** What this host can do beside what every host of the schema version can. */
  capabilities?: string[];
}

/** The answer of `host.info`. */
export interface HostInfo {
  version: string;
  /** The id under which the configuration knows the plugin. */
  plugin: string;
  /** Default: 1. */
  schema_version?: number;
  /** What this host can do beside what every host of the schema version can. */
  capabilities?: string[];
}

/** What came. */
export interface HttpAnswer {
  /** JSON. */
  body?: Json;
  /** Text that is not valid JSON. */
  body_text?: string | null;
  /** Bytes that are not UTF-8; with the need `raw` any body, byte for byte. */
  body_base64?: string | null;
  /** The path of a file that holds the body, for what is too large for a message. */
  body_file?: string | null;
  /** What the body is. Default: "application/json". */
  media_type?: string;
  status: number;
  headers?: Pairs;
}

/** Params of `host.http.request`. */
export interface HttpAsk {
  /** JSON. */
  body?: Json;
  /** Text that is not valid JSON. */
  body_text?: string | null;
  /** Bytes that are not UTF-8; with the need `raw` any body, byte for byte. */
  body_base64?: string | null;
  /** The path of a file that holds the body, for what is too large for a message. */
  body_file?: string | null;
  /** What the body is. Default: "application/json". */
  media_type?: string;
  /** As in all requests to the host. */
  for?: number | string | null;
  url: string;
  /** Default: "POST". */
  method?: string;
  headers?: Pairs;
  timeouts?: Times | null;
  /** On whose behalf, by id: it goes through that credential's proxy; its key is not sent along. */
  credential?: string | null;
  /** It is the attempt's own request, for a provider that answers one (`for`): the host puts the credential on it, and it may go to the provider's origins alone. */
  attempt?: boolean;
}

/** Params of `host.http.stream`: answered with status and headers, then the body comes as items with `raw`. */
export interface HttpStream {
  /** JSON. */
  body?: Json;
  /** Text that is not valid JSON. */
  body_text?: string | null;
  /** Bytes that are not UTF-8; with the need `raw` any body, byte for byte. */
  body_base64?: string | null;
  /** The path of a file that holds the body, for what is too large for a message. */
  body_file?: string | null;
  /** What the body is. Default: "application/json". */
  media_type?: string;
  /** As in all requests to the host. */
  for?: number | string | null;
  url: string;
  /** Default: "POST". */
  method?: string;
  headers?: Pairs;
  timeouts?: Times | null;
  /** On whose behalf, by id: it goes through that credential's proxy; its key is not sent along. */
  credential?: string | null;
  /** It is the attempt's own request, for a provider that answers one (`for`): the host puts the credential on it, and it may go to the provider's origins alone. */
  attempt?: boolean;
  /** A name for it, of the plugin's own making, that is not in use. */
  stream: string;
  /** Items that may be sent before more credit comes. */
  credit: number;
}

/** Who a plugin says that it is. */
export interface Identity {
  name?: string;
  /** The plugin's own version. */
  version?: string;
}

/** A picture. */
export interface Image {
  type: "image";
  source: Source;
  /** How closely it should be looked at: `low`, `high`, `auto`. */
  detail?: string | null;
  cache?: Cache | null;
  extensions?: { [name: string]: { [name: string]: Json } };
}

/** One item of a stream of events or bytes: one of the three. */
export interface Item {
  /** The event's name, where the dialect gives events names. */
  name?: string;
  /** An event of the stream's dialect: its JSON. */
  data?: Json;
  /** Bytes as they come, as text. */
  raw?: string | null;
  /** Bytes that are not UTF-8. */
  raw_base64?: string | null;
  /** A canonical delta. */
  delta?: Delta | null;
}

/** `stream.item`: what comes next. As many items as there is credit for. */
export interface Items {
  stream: string;
  /** Of the first item, counted from 0. */
  index?: number;
  items: Item[];
}

/** The figures of a candidate that change with every call. */
export interface Live {
  /** Of a row of the table. */
  id: string;
  /** Attempts that are under way. */
  in_flight?: number;
  /** Seconds to the first byte. */
  latency?: number | null;
  /** Unix time. */
  last_used?: number;
}

/** Params of `host.log`. */
export interface Log {
  /** The id of the host's request, also of one that opened a stream which is not over. Without it: on the plugin's own account. */
  for?: number | string | null;
  message: string;
  /** Default: "info". */
  level?: "debug" | "info" | "warning" | "error";
}

/** Params of `auth.login.poll`. */
export interface LoginPoll {
  /** The source's name. */
  source: string;
  /** Seconds from now, after which nobody waits for the answer. */
  deadline?: number | null;
  /** The last one, as it was answered. */
  step: LoginStep;
}

/** Params of `auth.login.start`. */
export interface LoginStart {
  /** The source's name. */
  source: string;
  /** Seconds from now, after which nobody waits for the answer. */
  deadline?: number | null;
  options?: Json;
}

/** What a login needs next from the person who logs in. */
export interface LoginStep {
  /** Default: "pending". */
  status?: "pending" | "done" | "failed";
  /** Where the person is to go. */
  url?: string | null;
  /** What to enter there. */
  code?: string | null;
  message?: string;
  /** Handed back at the next poll. */
  state?: Json;
  credentials?: CredentialAbout[];
  /** Seconds. */
  expires_in?: number | null;
}

/** How likely the tokens of an answer were. */
export interface Logprobs {
  content?: TokenLogprob[] | null;
  refusal?: TokenLogprob[] | null;
  extensions?: { [name: string]: { [name: string]: Json } };
}

/** How likely the latest tokens were. */
export interface LogprobsDelta {
  type: "logprobs";
  choice?: number;
  logprobs: Logprobs;
  extensions?: { [name: string]: { [name: string]: Json } };
}

/** Something that a translation dropped, changed or invented. */
export interface Loss {
  /** The field, as the source writes it: `tools[0].strict`. */
  path: string;
  what: "dropped" | "changed" | "invented";
  why: string;
}

/** One turn's words of one speaker. */
export interface Message {
  role: Role;
  parts?: Part[];
  /** The speaker's own name, where several speak in one role. */
  name?: string | null;
  id?: string | null;
  extensions?: { [name: string]: { [name: string]: Json } };
}

/** Params of `host.model.execute`: a canonical `request`, or a body in a `dialect`. */
export interface ModelAsk {
  /** JSON. */
  body?: Json;
  /** Text that is not valid JSON. */
  body_text?: string | null;
  /** Bytes that are not UTF-8; with the need `raw` any body, byte for byte. */
  body_base64?: string | null;
  /** The path of a file that holds the body, for what is too large for a message. */
  body_file?: string | null;
  /** What the body is. Default: "application/json". */
  media_type?: string;
  /** As in all requests to the host. */
  for?: number | string | null;
  /** A canonical request. */
  request?: Request;
  /** That of the body. Default: "canonical". */
  dialect?: string;
  /** For dialects in which the path names it. */
  model?: string | null;
  /** What is asked for: `generate`, `embed`, `count`. Default: "generate". */
  operation?: string;
  /** Of an answer in a dialect: send its canonical form, too. */
  read?: boolean;
  /** It outlives the call in which it is made. */
  detached?: boolean;
  /** How long it may take, where that differs from most calls. */
  timeouts?: Times | null;
}

/** What is known of a model. Everything but the id may be missing; unknown is never refused. */
export interface ModelInfo {
  /** The name that callers use. */
  id: string;
  /** The name that the provider uses, where it differs. */
  upstream?: string | null;
  display_name?: string | null;
  owner?: string | null;
  /** Unix time, in seconds. */
  created?: number | null;
  /** The dialects in which it can be called upstream, where they differ from the provider's. */
  dialects?: string[];
  /** `generate`, `embed` ...; empty for any. */
  operations?: string[];
  /** Most tokens of input and output together. */
  context?: number | null;
  /** Most tokens of output. */
  max_output?: number | null;
  input_modalities?: string[];
  output_modalities?: string[];
  /** null: not known. */
  thinking?: ThinkingSupport | null;
  /** Service tiers. */
  tiers?: string[];
  /** US dollars for a million tokens, by kind: `input`, `output`, `cache_read`, `cache_write`. */
  prices?: { [name: string]: number };
  /** What the provider says beside that, by dialect. Provisional. */
  extensions?: { [name: string]: Json };
}

/** Params of `host.model.execute_stream`: answered with null, then items with `delta` to a canonical request, else events. */
export interface ModelStream {
  /** JSON. */
  body?: Json;
  /** Text that is not valid JSON. */
  body_text?: string | null;
  /** Bytes that are not UTF-8; with the need `raw` any body, byte for byte. */
  body_base64?: string | null;
  /** The path of a file that holds the body, for what is too large for a message. */
  body_file?: string | null;
  /** What the body is. Default: "application/json". */
  media_type?: string;
  /** As in all requests to the host. */
  for?: number | string | null;
  /** A canonical request. */
  request?: Request;
  /** That of the body. Default: "canonical". */
  dialect?: string;
  /** For dialects in which the path names it. */
  model?: string | null;
  /** What is asked for: `generate`, `embed`, `count`. Default: "generate". */
  operation?: string;
  /** Of an answer in a dialect: send its canonical form, too. */
  read?: boolean;
  /** It outlives the call in which it is made. */
  detached?: boolean;
  /** How long it may take, where that differs from most calls. */
  timeouts?: Times | null;
  /** A name for it, of the plugin's own making, that is not in use. */
  stream: string;
  /** Items that may be sent before more credit comes. */
  credit: number;
}

/** A list of models. */
export interface Models {
  models?: (string | ModelInfo)[];
}

/** What a hook is sent beside ids, names and flags: headers and query; the body of what it is about; the client's body, where that is another one; the canonical form, and with `undecoded` the call also where there is none, because the body cannot be decoded; what events say in canonical words; bodies byte for byte (`body_base64`); keys of clients or credentials (needs a grant). */
export type Needs = "headers" | "body" | "client_body" | "request" | "undecoded" | "deltas" | "raw" | "secret";

/** An event that a handler gives: one of the three. */
export interface NewEvent {
  /** The event that is answered to, as it is: for what is added before or after it. */
  same?: boolean;
  /** The event that is answered to, with other words. */
  text?: string | null;
  /** For the two above: the index of another event that is meant, one of the latest 256 of the stream. */
  of?: number | null;
  /** A new event that carries this JSON. */
  data?: Json;
  /** A new event's name, where the dialect gives events names. */
  name?: string;
  /** A new event's data as text that is not JSON. */
  raw?: string | null;
}

/** No params, or no result. */
export interface Nothing {
}

/** Params of hooks that see an attempt. */
export interface OnAttempt {
  attempt: Attempt;
  /** Seconds from now, after which nobody waits for the answer. */
  deadline?: number | null;
}

/** Params of `response.normalize`. For a streamed answer `stream` is there, and `{"handle": true}` asks for its events. */
export interface OnAttemptReply {
  attempt: Attempt;
  /** Seconds from now, after which nobody waits for the answer. */
  deadline?: number | null;
  reply: Reply;
  /** Names the stream in what follows; null for a whole answer. */
  stream?: string | null;
}

/** Params of hooks that see a call. */
export interface OnCall {
  call: Call;
  /** Seconds from now, after which nobody waits for the answer. */
  deadline?: number | null;
}

/** Params of `response.intercept_after`. */
export interface OnCallReply {
  call: Call;
  /** Seconds from now, after which nobody waits for the answer. */
  deadline?: number | null;
  reply: Reply;
}

/** Params of `request.complete`. */
export interface OnComplete {
  call: Call;
  outcome: Outcome;
  /** Seconds from now, after which nobody waits for the answer. */
  deadline?: number | null;
}

/** Params of `auth.refresh` and `auth.quota`. */
export interface OnCredential {
  /** The source's name. */
  source: string;
  /** Seconds from now, after which nobody waits for the answer. */
  deadline?: number | null;
  credential: CredentialAbout;
}

/** Params of `response.intercept_stream_chunk.event`: those of one read, in order. */
export interface OnEvents {
  /** The name of its opening. */
  stream: string;
  events: Event[];
  /** Seconds from now, after which nobody waits for the answer. */
  deadline?: number | null;
}

/** Params of `scheduler.pick`. */
export interface OnPick {
  call: Call;
  /** Seconds from now, after which nobody waits for the answer. */
  deadline?: number | null;
  pool: Pool;
}

/** Params of `management.handle`: a request of one of the plugin's routes; its path has its names filled in as `params`. */
export interface OnRoute {
  call: Call;
  /** Seconds from now, after which nobody waits for the answer. */
  deadline?: number | null;
  route: RouteDeclared;
  /** What stands for the names in the path. */
  params?: { [name: string]: string };
}

/** Params of `auth.load`. */
export interface OnSource {
  /** The source's name. */
  source: string;
  /** Seconds from now, after which nobody waits for the answer. */
  deadline?: number | null;
}

/** Params of `usage.handle`. */
export interface OnUsage {
  attempt: Attempt;
  /** Seconds from now, after which nobody waits for the answer. */
  deadline?: number | null;
  usage: Usage;
}

/** A part that only one dialect understands: passed on there, a loss elsewhere. */
export interface Opaque {
  type: "opaque";
  dialect: string;
  kind: string;
  /** JSON text. */
  value: string;
}

/** An event that only one dialect understands: passed on there, a loss elsewhere. */
export interface OpaqueDelta {
  type: "opaque";
  dialect: string;
  name?: string;
  /** JSON text of the event. */
  value: string;
}

/** Params of `response.intercept_stream_chunk.open`: the context comes once. */
export interface OpenStream {
  call: Call;
  /** Seconds from now, after which nobody waits for the answer. */
  deadline?: number | null;
  head: Head;
  /** Names the stream in what follows. */
  stream: string;
}

/** What a request is about. `generate`, `embed`, `count` and `compact` are calls of one model and pass every stage; `models` and `model` are queries that the host answers itself, `ping` one that it answers with nothing; `resource` names something that an upstream minted; `route` is a plugin's own, which no dialect has. */
export type Operation = "generate" | "embed" | "count" | "compact" | "models" | "model" | "resource" | "ping" | "route";

/** What came of a call. */
export interface Outcome {
  /** Answered; answered with an error, or broken off; refused by a plugin or a rule; the client left. */
  status: "succeeded" | "failed" | "rejected" | "canceled";
  /** What the client was sent; 0 when nothing was. */
  http_status?: number;
  cause?: Cause | null;
  message?: string;
  /** What it cost, all in all. */
  usage?: Usage | null;
  /** How many there were. */
  attempts?: number;
  provider?: string | null;
  credential?: string | null;
  /** The upstream's name of the model. */
  model?: string | null;
  /** Seconds from the request to the answer's last byte. */
  duration?: number;
  /** Seconds to the answer's first byte. */
  first_byte?: number | null;
  fidelity?: string | null;
  /** With the need `request`. */
  explanation?: { [name: string]: Json } | null;
}

/** The form of the answer. */
export interface Output {
  format?: "text" | "json" | "json_schema" | "grammar" | null;
  schema?: { [name: string]: Json } | null;
  /** The schema's name. */
  name?: string | null;
  description?: string | null;
  strict?: boolean | null;
  verbosity?: string | null;
  /** `text`, `audio`, `image`; empty for the provider's default. */
  modalities?: string[];
  voice?: string | null;
  audio_format?: string | null;
}

/** Two dialects that a plugin translates between: the client's and the upstream's. */
export interface Pair {
  /** The client's. */
  source: string;
  /** The upstream's. */
  target: string;
}

/** Headers or a query. */
export type Pairs = [string, string][] | { [name: string]: string | null };

/** Params of `auth.parse`: one stored file's name and what it says. null: not mine. */
export interface Parse {
  /** The source's name. */
  source: string;
  /** Seconds from now, after which nobody waits for the answer. */
  deadline?: number | null;
  /** The file's name. */
  name: string;
  /** What it says. */
  data: Json;
}

/** Anything that a message may hold. */
export type Part = Text | Thinking | Refusal | ToolCall | ToolResult | Image | Document | Audio | Video | ServerToolCall | ServerToolResult | Opaque;

/** A part is complete. */
export interface PartEnd {
  type: "part_end";
  choice?: number;
  index: number;
  extensions?: { [name: string]: { [name: string]: Json } };
}

/** A part starts: `part` holds what is known of it by now; increments follow. A part that comes whole has none. */
export interface PartStart {
  type: "part_start";
  choice?: number;
  index: number;
  part: Part;
  extensions?: { [name: string]: { [name: string]: Json } };
}

/** The answer of `scheduler.pick`: one of the three. */
export interface Pick {
  /** An id. */
  candidate?: string | null;
  /** The id of a plugin that is a scheduler. */
  delegate?: string | null;
  /** Why nobody may serve the call. */
  deny?: string | null;
  /** Seconds. With `deny`. */
  retry_after?: number | null;
}

/** The candidates of a model. At most 64 of the eligible ones; where there are more, the least busy of a sample. */
export interface Pool {
  /** The name that was resolved. */
  model: string;
  /** Another number whenever candidates came, went or changed. */
  revision: number;
  /** How many are eligible. */
  many: number;
  /** Without `table`. */
  eligible?: Row[];
  /** With `table`: the eligible ones by id; the rest of each row stands in the table. */
  live?: Live[];
  /** With `table`: rows that are new or have changed since the plugin was told last. */
  rows?: Row[];
  /** With `table`: ids of candidates that are none any more. */
  gone?: string[];
  /** Ids of candidates that this call has tried. */
  tried?: string[];
}

/** Who calls. */
export interface Principal {
  /** By which logs, limits and plugins know it. Never a key. */
  name: string;
  /** Words by which plugins tell principals apart; `admin` opens routes for administrators. */
  tags?: string[];
  /** null: all. */
  allow?: Allow | null;
  /** For plugins that limit; the host does not read them. */
  limits?: { [name: string]: number };
}

/** The answer to a challenge, and a challenge in turn. */
export interface Proof {
  /** HMAC-SHA256 of `plugin:` and the challenge, keyed with the secret, in hexadecimal digits (RFC 2104). */
  proof: string;
  /** For the host: its proof comes with `plugin.register`. */
  challenge?: string;
}

/** A provider. With a `base_url` and without `execute` the host does all of it from this data. */
export interface ProviderDeclared {
  /** How configuration, routes and `provider://model` name it. Lower case. */
  key: string;
  /** Dialects that it takes, best first. `canonical` means `attempt.request` in, and `Reply.response` or deltas out. Default: ["canonical"]. */
  dialects?: string[];
  /** Ids, or objects of `ModelInfo`. `discover`: of the host's own way; or of `model.for_auth` where the plugin has that. */
  models?: (string | ModelInfo)[] | "discover";
  /** Names with `*` that are passed through to it although no list has them. */
  patterns?: string[];
  /** What is known of models, whether or not they can be called; an `id` may have `*`, the first that fits counts. */
  catalogue?: ModelInfo[];
  /** Taken literally: a dialect's path is appended. */
  base_url?: string | null;
  /** The plugin answers its attempts (`executor.*`). Without a word: where there is no `base_url`. */
  execute?: boolean | null;
  /** null: no key is needed. */
  auth?: AuthPlace | null;
  /** A key is sent where there is one, and none is needed. */
  key_optional?: boolean;
  /** Objects of `Rule`. */
  failures?: Rule[];
  /** Which headers of its answers tell of windows of an account's quota. */
  quota?: QuotaHeaders[];
  /** How its requests differ from its dialects'. One object that stays the same: plans are remembered by it. */
  flavours?: Flavour[];
  /** Where it is told which requests continue one another, by dialect. Said by those who know, such as a scheduler that binds sessions, and only where the client said nothing. */
  continuity?: Continuity[];
  /** Whether it streams: as asked, always, or never. The host puts streams together, or plays whole answers, where that is another way. Default: "both". */
  streams?: "both" | "only" | "never";
  /** Whom its accounts may serve: its own client programs only, or any. Default: "any". */
  serves?: "own_client" | "any";
  /** Headers for each request. */
  headers?: { [name: string]: string };
  /** Paths in place of the dialect's, by operation. */
  paths?: { [name: string]: string };
  /** Added to each URL. */
  query?: { [name: string]: string };
  /** The client's headers that go to it beside those of its dialect. */
  forward?: string[];
  /** How long its answers may take, where that differs from most. What the configuration says of it goes before. */
  timeouts?: Timeouts | null;
  /** It gives way to any other plugin's provider of its key. */
  fallback?: boolean;
}

/** The answer of `model.register`. */
export interface Providers {
  providers?: ProviderDeclared[];
  /** Further models of providers: a provider's key, and an id or an object of `ModelInfo`. */
  models?: ([string, string | ModelInfo])[];
}

/** The answer of `auth.quota`. */
export interface Quota {
  windows?: QuotaWindow[];
}

/**
 * The response headers in which a provider tells of windows of a quota, as data. Provisional.
 *
 * Names are in lower case and stand without their `prefix`. `{window}` stands for what tells one window from another.
 */
export interface QuotaHeaders {
  /** What all of the names begin with; answers without such a header cost nothing. */
  prefix: string;
  /** Says the share that is used. */
  used?: string | null;
  /** What it says of a window that is used up: 100 where it counts in per cent. Default: 1.0. */
  full?: number;
  limit?: string | null;
  /** Say the same in two figures. */
  remaining?: string | null;
  /** Say when the window begins anew: seconds, a duration, a Unix time or a date. The first that is there counts. */
  reset?: string | string[];
  /** Says how long the window is: it is named by that, `5h`, where it is known. */
  minutes?: string | null;
  /** Says whether anything goes through, in the words of `rejected`. */
  state?: string | null;
  /** Default: "rejected". */
  rejected?: string;
  /** It fills up again little by little: the reset is when it is full, and there is more before. Never `spent`. */
  refills?: boolean;
  /** The windows that are meant; none for any. */
  only?: string[];
  /** What a window is called, where its length is not known. Default: "{window}". */
  name?: string;
  /** Default: "credential". */
  of?: "credential" | "credential_model";
}

/** One window of an account's quota. Provisional. */
export interface QuotaWindow {
  name: string;
  /** Share, 0 to 1; more where a provider lets one go on. */
  used?: number | null;
  /** Unix time. */
  resets_at?: number | null;
  /** Nothing goes through before it resets. */
  spent?: boolean;
  /** Default: "credential". */
  of?: "credential" | "credential_model";
}

/** `plugin.reconfigure`: another configuration. */
export interface Reconfigure {
  config?: { [name: string]: Json };
  /** As in `plugin.register`. */
  from_environment?: string[];
}

/** The answer of `auth.refresh`. */
export interface Refreshed {
  credential: CredentialAbout;
}

/** The model's own words for declining. */
export interface Refusal {
  type: "refusal";
  text: string;
  extensions?: { [name: string]: { [name: string]: Json } };
}

/** `plugin.register`: the first request, answered with what the plugin is. */
export interface Register {
  /** The version of the protocol that the host speaks. */
  schema_version: number;
  host: HostAbout;
  /** The id under which the configuration knows the plugin. */
  plugin: string;
  /** The plugin's section of the configuration, without what the host reads itself. */
  config?: { [name: string]: Json };
  /** JSON Pointers of texts in `config` that came from the environment: they may stand for a number or a truth value. */
  from_environment?: string[];
  limits: Bounds;
  /** HMAC-SHA256 of `host:` and the plugin's challenge, keyed with the secret. */
  proof?: string;
}

/** What `plugin.register` answers. */
export interface Registration {
  /** The version that the plugin was written for; a higher one than the host's is refused. */
  schema_version: number;
  plugin?: Identity;
  /** The methods that the host may call, by name; of those with several parts, the first part's name is enough. */
  hooks?: { [name: string]: HookDeclared | null };
  /** `start`: wants `plugin.start`. `reconfigure`: takes another configuration while it runs (socket plugins). */
  capabilities?: string[];
  /** Requests at once; others wait for their turn. Without it 256. */
  max_in_flight?: number | null;
  /** Its place in the order where the operator says nothing. */
  priority?: number | null;
  /** A JSON Schema of its section, for editors and the check. */
  config_schema?: { [name: string]: Json } | boolean | null;
  /** What is wrong and keeps the plugin from nothing; listed. */
  problems?: string[];
  /** For `frontend_auth.authenticate`: false says that it has nobody to admit, and counts as no access rule. Default: true. */
  has_rules?: boolean;
  /** Schedulers that it may delegate to, by the name of the setting that says so. */
  delegates?: { [name: string]: string };
}

/** Params of `auth.remove`. */
export interface RemoveCredential {
  /** The source's name. */
  source: string;
  /** Seconds from now, after which nobody waits for the answer. */
  deadline?: number | null;
  /** The credential's. */
  id: string;
}

/** An answer, or the beginning of a streamed one. */
export interface Reply {
  /** JSON. */
  body?: Json;
  /** Text that is not valid JSON. */
  body_text?: string | null;
  /** Bytes that are not UTF-8; with the need `raw` any body, byte for byte. */
  body_base64?: string | null;
  /** The path of a file that holds the body, for what is too large for a message. */
  body_file?: string | null;
  /** What the body is. Default: "application/json". */
  media_type?: string;
  /** Default: 200. */
  status?: number;
  /** With the need `headers`. Those of an answer that a plugin gives go to the client as far as it may have them. */
  headers?: Pairs;
  /** It is streamed: no body stands here. */
  stream?: boolean;
  /** The canonical answer; a plugin may give this instead of a body. */
  response?: Response;
  /** Why it is an error; null for a success. */
  failure?: Failed | null;
}

/** One request to a model. */
export interface Request {
  model?: string;
  messages?: Message[];
  tools?: Tool[];
  tool_choice?: ToolChoice | null;
  parallel_tools?: boolean | null;
  sampling?: Sampling;
  thinking?: ThinkingConfig;
  output?: Output;
  stream?: boolean;
  /** The caller asks for usage at the end of the stream, where its dialect leaves that to the caller. */
  stream_usage?: boolean | null;
  /** Whom the caller asks for, in the caller's own words. */
  user?: string | null;
  metadata?: { [name: string]: string };
  service_tier?: string | null;
  store?: boolean | null;
  /** The id of a stored answer that this request goes on from. */
  previous?: string | null;
  cache_key?: string | null;
  cache_retention?: string | null;
  extensions?: { [name: string]: { [name: string]: Json } };
}

/** A whole answer. */
export interface Response {
  id?: string;
  model?: string;
  /** Unix time, in seconds. */
  created?: number | null;
  choices?: Choice[];
  usage?: Usage | null;
  service_tier?: string | null;
  extensions?: { [name: string]: { [name: string]: Json } };
}

/** Why a credential is passed over for a while, and how long. */
export interface Rest {
  /** The upstream's name of the model that it is passed over for; `''` for all, `*` for all by a limit of the operator's. */
  model?: string;
  cause: Cause;
  /** Unix time; `since` likewise. */
  until: number;
  since: number;
  /** Failures in a row. Default: 1. */
  times?: number;
  /** The upstream, or a limit, said how long; else it is a guess. */
  told?: boolean;
  message?: string;
}

/** Who speaks. `system` and `developer` texts stand among the messages, where they were said. */
export type Role = "system" | "developer" | "user" | "assistant" | "tool";

/** The answer of `model.route`. */
export interface Route {
  /** By its name alone: resolved as if the client had asked for it. */
  model?: string | null;
  /** A provider's key: the model is looked for there alone. */
  provider?: string | null;
  /** The id of a plugin whose provider runs the call; `self` for one's own. */
  executor?: string | null;
  /** Stands in the call's explanation. */
  reason?: string;
  /** In order, for when this cannot serve the call. */
  otherwise?: Alternative[];
}

/** An HTTP route of a plugin's own. */
export interface RouteDeclared {
  /** Default: "GET". */
  method?: string;
  /** With `{name}` for one segment, `{path}` for any number of them. */
  path: string;
  /** Who may ask: whoever may make calls; of those the ones whose principal has the tag `admin`; anybody. The latter two need a grant. Default: "client". */
  access?: "client" | "admin" | "public";
}

/** The answer of `management.register`. */
export interface Routes {
  routes?: RouteDeclared[];
}

/** A candidate. */
export interface Row {
  /** Names it in `Pick`. */
  id: string;
  /** The provider's key. */
  provider?: string;
  /** The credential's id. */
  credential?: string;
  /** What the operator calls the credential. */
  label?: string;
  /** The upstream's name. */
  model?: string;
  /** Higher is better; only the best that can serve is eligible. */
  tier?: number;
  /** Default: 1.0. */
  weight?: number;
  /** `ok`, or why it is passed over: `rate limit until 12:31:05`. Default: "ok". */
  health?: string;
  /** Attempts that are under way. */
  in_flight?: number;
  /** Seconds to the first byte. */
  latency?: number | null;
  /** Unix time. */
  last_used?: number;
  /** Windows of the account's quota, as far as they are known. */
  quota?: QuotaWindow[];
}

/** The error of a JSON-RPC response (JSON-RPC 2.0, section 5.1). */
export interface RpcError {
  /** One of those that are listed under Errors; another counts as the side's own failure. */
  code: number;
  /** One line: what, where, what to do. */
  message?: string;
  data?: Fault | null;
}

/**
 * One row of a provider's table of failures. A rule fits when everything that it names fits; the first that fits decides.
 *
 * A user may add rules in the configuration; they stand before the provider's own. Of what says until when the cause lasts, the
 * field that is named first here goes before the rest; where none says anything, `Retry-After`, the words of the body and the
 * limits of the answer do.
 */
export interface Rule {
  cause: Cause;
  /** HTTP statuses to which the rule applies; null for any. */
  status?: number | number[] | null;
  /** Regular expression that must match the error's whole code or its whole type, as the dialect reads them. */
  code?: string | null;
  /** Regular expression to be found anywhere in the error body's text, without regard to case. */
  match?: string | null;
  /** Regular expressions to be found in response headers, by their names. */
  headers?: { [name: string]: string };
  blame?: Blame | null;
  help?: Help | null;
  /** Response header that says when the cause ends: seconds, a duration such as `6m0s`, or a date. */
  until_header?: string | null;
  /** Regular expression whose one group finds the same in the error body: `"resets_at": *(\d+)`. */
  until_match?: string | null;
  /** The turn of the calendar at which the cause ends: `daily 00:00 America/Los_Angeles`, `monthly 00:00 UTC`. */
  resets?: string | null;
  /** How long the cause lasts, where nothing before says it. */
  retry_after?: Seconds | null;
  /** Regular expression whose one group finds in the error body where an account's owner must go. null: the first link in it. */
  link?: string | null;
}

/** Params of `command_line.execute`. */
export interface RunCommand {
  command: string;
  arguments?: string[];
}

/** How the answer is drawn. null leaves a setting to the provider. */
export interface Sampling {
  temperature?: number | null;
  top_p?: number | null;
  top_k?: number | null;
  min_p?: number | null;
  frequency_penalty?: number | null;
  presence_penalty?: number | null;
  seed?: number | null;
  /** Most tokens of the answer, thinking included. */
  max_tokens?: number | null;
  stop?: string[];
  /** How many answers. */
  n?: number | null;
  logprobs?: boolean | null;
  top_logprobs?: number | null;
  logit_bias?: { [name: string]: number } | null;
}

/** Params of `auth.save`. */
export interface SaveCredentials {
  /** The source's name. */
  source: string;
  /** Seconds from now, after which nobody waits for the answer. */
  deadline?: number | null;
  /** They belong together: all of them are kept or, with an error, none. */
  credentials: CredentialAbout[];
}

/** Seconds, or a text such as `30s` or `1.5m`. */
export type Seconds = number | string;

/** The provider ran a tool of its own, such as a web search: what was asked of it. */
export interface ServerToolCall {
  type: "server_tool_call";
  id?: string | null;
  name: string;
  /** JSON text. */
  arguments?: string;
  status?: string | null;
  cache?: Cache | null;
  extensions?: { [name: string]: { [name: string]: Json } };
}

/** What a tool of the provider's own gave back. */
export interface ServerToolResult {
  type: "server_tool_result";
  call_id?: string | null;
  name: string;
  /** JSON text. */
  content?: string;
  is_error?: boolean;
  cache?: Cache | null;
  extensions?: { [name: string]: { [name: string]: Json } };
}

/** `plugin.shutdown`: finish, answer, and end. */
export interface Shutdown {
  /** Seconds until the process is stopped. */
  grace: number;
}

/** An opaque proof or encrypted state that a provider gave and wants back unchanged. */
export interface Signature {
  value: string;
  /** Whose it is: the family of models that can read it. */
  family: string;
  /** The credential that it was minted for, where known. Provisional. */
  origin?: string | null;
}

/** The signature of a part. */
export interface SignatureDelta {
  type: "signature";
  choice?: number;
  index: number;
  signature: Signature;
  extensions?: { [name: string]: { [name: string]: Json } };
}

/** Where the bytes of an image, document, audio or video are: exactly one of the three is given. */
export interface Source {
  url?: string | null;
  /** Standard base64 (RFC 4648, section 4), with padding. */
  data?: string | null;
  /** An id that a provider minted for an uploaded file. */
  file_id?: string | null;
  media_type?: string | null;
}

/** The answer of `auth.register`: the names of the plugin's sources of credentials. */
export interface Sources {
  sources?: string[];
  /** Those of which `host.auth.changed` tells when they have other credentials; the others are asked at each reload. */
  watched?: string[];
  /** Those that take `auth.save` and `auth.remove`. */
  keeps?: string[];
  /** By source: keys of the providers whose accounts it refreshes, also those that another source keeps. */
  providers?: { [name: string]: string[] };
}

/** Params of `host.state.add`. */
export interface StateAdd {
  /** The id of the host's request, also of one that opened a stream which is not over. Without it: on the plugin's own account. */
  for?: number | string | null;
  key: string;
  /** How much. Default: 1. */
  n?: number;
  /** It is left as it is where the sum would be more than this. */
  maximum?: number | null;
  /** Seconds that the counter is kept from its first addition on; null: for good. */
  ttl?: number | null;
}

/** Params of `host.state.get` and `delete`. */
export interface StateKey {
  /** The id of the host's request, also of one that opened a stream which is not over. Without it: on the plugin's own account. */
  for?: number | string | null;
  key: string;
}

/** Params of `host.state.set`. */
export interface StateSet {
  /** The id of the host's request, also of one that opened a stream which is not over. Without it: on the plugin's own account. */
  for?: number | string | null;
  key: string;
  value?: string | null;
  value_base64?: string | null;
  /** Seconds that it is kept; null: for good. */
  ttl?: number | null;
  /** Only where there is none. */
  if_absent?: boolean;
}

/** The counter's new value; null where it would have passed the maximum. */
export interface StateSum {
  value: number | null;
}

/** A value: text or, where it is not UTF-8, base64; neither where there is none. */
export interface StateValue {
  value?: string | null;
  value_base64?: string | null;
}

/** Whether it was set. */
export interface StateWasSet {
  set: boolean;
}

/** The answer broke off. Nothing follows. */
export interface StreamError {
  type: "error";
  error: Error;
  extensions?: { [name: string]: { [name: string]: Json } };
}

/** Words. */
export interface Text {
  type: "text";
  text: string;
  citations?: Citation[];
  signature?: Signature | null;
  cache?: Cache | null;
  extensions?: { [name: string]: { [name: string]: Json } };
}

/** More words of a `Text` or `Refusal` part. */
export interface TextDelta {
  type: "text";
  choice?: number;
  index: number;
  text: string;
  extensions?: { [name: string]: { [name: string]: Json } };
}

/** What a model thought before it answered: in the open, as a summary, signed, or encrypted. */
export interface Thinking {
  type: "thinking";
  text?: string;
  /** Paragraphs of a summary, where the provider gives that instead of or beside the thoughts. */
  summary?: string[];
  signature?: Signature | null;
  /** Encrypted thoughts that nobody but the provider can read. */
  redacted?: Signature | null;
  id?: string | null;
  extensions?: { [name: string]: { [name: string]: Json } };
}

/** How much a model should think, and how much of that it should show. */
export interface ThinkingConfig {
  mode?: "on" | "off" | "auto" | null;
  /** A level by name: `none`, `minimal`, `low`, `medium`, `high`, `xhigh`, `max`. */
  effort?: string | null;
  /** Most tokens of thought. */
  budget?: number | null;
  /** How thoughts are shown: `auto`, `concise`, `detailed`, `none`. */
  summary?: string | null;
}

/** More of a `Thinking` part: thoughts, or where `summary` is a number, that paragraph of the summary. */
export interface ThinkingDelta {
  type: "thinking";
  choice?: number;
  index: number;
  text: string;
  summary?: number | null;
  extensions?: { [name: string]: { [name: string]: Json } };
}

/** How a model can be told to think. One without levels and budget does not think. */
export interface ThinkingSupport {
  /** The levels that it takes by name. */
  levels?: string[];
  /** Least tokens of thought; null where it takes no budget. */
  min?: number | null;
  max?: number | null;
  /** It can be told not to think. Default: true. */
  off?: boolean;
  /** It can be left to decide by itself. Default: true. */
  dynamic?: boolean;
}

/** Limits on waiting, in seconds, 0 for none; null leaves one to the host's configuration (`timeouts`). */
export interface Timeouts {
  connect?: number | null;
  /** From the request's last byte to the answer's first. */
  first_byte?: number | null;
  /** Between two reads of an answer. */
  idle?: number | null;
  /** Of a call: from its beginning to the last byte of its answer, all attempts included. Of a request: of it alone. */
  total?: number | null;
}

/** Limits on waiting, in seconds. */
export interface Times {
  /** To a connection. */
  connect?: number | null;
  /** To the answer's first byte. */
  first_byte?: number | null;
  /** Between two reads. */
  idle?: number | null;
  /** In all. */
  total?: number | null;
}

/** A token and how likely it was. */
export interface TokenChance {
  token: string;
  logprob: number;
  bytes?: number[] | null;
}

/** One token of the answer, how likely it was, and the likeliest ones in its place. */
export interface TokenLogprob {
  token: string;
  logprob: number;
  bytes?: number[] | null;
  top?: TokenChance[];
}

/**
 * A tool that the model may use.
 *
 * `function` takes a JSON object; `custom` takes free text, bound by a grammar where one is given;
 * `hosted` is run by the provider, and `name` is its type there.
 */
export interface Tool {
  name: string;
  /** Default: "function". */
  kind?: "function" | "custom" | "hosted";
  description?: string | null;
  /** JSON Schema of a function's arguments. */
  parameters?: { [name: string]: Json } | null;
  /** Arguments must follow the schema to the letter. */
  strict?: boolean | null;
  grammar?: string | null;
  /** `lark` or `regex`. */
  grammar_syntax?: string | null;
  namespace?: string | null;
  /** For hosted tools: the dialect whose provider runs it. */
  dialect?: string | null;
  /** For hosted tools: their settings, in that dialect's words. */
  config?: { [name: string]: Json };
  /** For hosted tools that search the web: what is asked of them, so that another dialect's search can stand in. */
  search?: WebSearch | null;
  cache?: Cache | null;
  extensions?: { [name: string]: { [name: string]: Json } };
}

/** The model asks for a tool of the caller's to be run. */
export interface ToolCall {
  type: "tool_call";
  id: string;
  name: string;
  /** JSON text of an object for a function, as the model wrote it; free text for a custom tool. */
  arguments?: string;
  /** Default: "function". */
  kind?: "function" | "custom";
  namespace?: string | null;
  signature?: Signature | null;
  /** The id of the item that carries the call, where a dialect has one beside the call's. */
  item_id?: string | null;
  cache?: Cache | null;
  extensions?: { [name: string]: { [name: string]: Json } };
}

/** Whether the model may, must or must not use tools. */
export interface ToolChoice {
  /** Default: "auto". */
  mode?: "auto" | "none" | "required" | "named" | "allowed";
  /** For `named` the one tool to use; for `allowed` those that may be used. */
  names?: string[];
  /** Default: "function". */
  kind?: "function" | "custom" | "hosted";
  /** For `allowed`: one of them must be used. */
  required?: boolean;
  extensions?: { [name: string]: { [name: string]: Json } };
}

/** What a tool of the caller's gave back. */
export interface ToolResult {
  type: "tool_result";
  call_id: string;
  name?: string | null;
  parts?: (Text | Image | Document | Audio | Video | Opaque)[];
  is_error?: boolean;
  /** Default: "function". */
  kind?: "function" | "custom";
  item_id?: string | null;
  cache?: Cache | null;
  extensions?: { [name: string]: { [name: string]: Json } };
}

/** Params of `request.translate` and `response.translate`: a whole body. */
export interface Translate {
  /** JSON. */
  body?: Json;
  /** Text that is not valid JSON. */
  body_text?: string | null;
  /** Bytes that are not UTF-8; with the need `raw` any body, byte for byte. */
  body_base64?: string | null;
  /** The path of a file that holds the body, for what is too large for a message. */
  body_file?: string | null;
  /** What the body is. Default: "application/json". */
  media_type?: string;
  /** The client's dialect. */
  source: string;
  /** The upstream's. */
  target: string;
  /** Seconds from now, after which nobody waits for the answer. */
  deadline?: number | null;
}

/** Params of `response.translate.event`, and without events of `response.translate.close`. */
export interface TranslateEvents {
  stream: string;
  /** In the upstream's dialect. */
  events?: Item[];
  /** Seconds from now, after which nobody waits for the answer. */
  deadline?: number | null;
}

/** Params of `response.translate.open`. */
export interface TranslateOpen {
  /** The client's dialect. */
  source: string;
  /** The upstream's. */
  target: string;
  /** The call's id. */
  call: string;
  /** Names the stream in what follows. */
  stream: string;
  /** Seconds from now, after which nobody waits for the answer. */
  deadline?: number | null;
}

/** A body in the other dialect. */
export interface Translated {
  /** JSON. */
  body?: Json;
  /** Text that is not valid JSON. */
  body_text?: string | null;
  /** Bytes that are not UTF-8; with the need `raw` any body, byte for byte. */
  body_base64?: string | null;
  /** The path of a file that holds the body, for what is too large for a message. */
  body_file?: string | null;
  /** What the body is. Default: "application/json". */
  media_type?: string;
  /** What was dropped, changed or invented. */
  losses?: Loss[];
}

/** Events in the client's dialect. */
export interface TranslatedEvents {
  events?: Item[];
  /** What was dropped, changed or invented. */
  losses?: Loss[];
}

/** The answer of `translate.register`. */
export interface Translators {
  pairs?: Pair[];
}

/** Tokens that a call cost. */
export interface Usage {
  /** All tokens of the request, cached ones included. */
  input?: number;
  /** All tokens of the answer, thinking included. */
  output?: number;
  /** Of the output: thought. */
  thinking?: number;
  /** Of the input: read from the provider's cache. */
  cache_read?: number;
  /** Of the input: written to the provider's cache. */
  cache_write?: number;
  audio_input?: number;
  audio_output?: number;
  accepted_prediction?: number;
  rejected_prediction?: number;
  /** The provider's own total, where it differs from input plus output. */
  total?: number | null;
  /** Who counted: the provider; the host, by estimate; nobody. Default: "upstream". */
  source?: "upstream" | "estimated" | "absent";
  extensions?: { [name: string]: { [name: string]: Json } };
}

/** What the call cost so far; the last one counts. */
export interface UsageDelta {
  type: "usage";
  usage: Usage;
  extensions?: { [name: string]: { [name: string]: Json } };
}

/** Moving pictures. */
export interface Video {
  type: "video";
  source: Source;
  cache?: Cache | null;
  extensions?: { [name: string]: { [name: string]: Json } };
}

/** A search of the web that the provider runs, in words that several dialects share. */
export interface WebSearch {
  /** Nothing else is searched; empty for everything. */
  allowed_domains?: string[];
  blocked_domains?: string[];
  /** Most searches for one answer. */
  max_uses?: number | null;
  /** How much of what is found the model is shown: `low`, `medium`, `high`. */
  context?: string | null;
  /** About where the user is: `city`, `region`, `country` (two letters), `timezone`. */
  location?: { [name: string]: string };
}

/** What every request to the host may say: in which request of the host's it is made. It ends with that one. */
export interface Within {
  /** The id of the host's request, also of one that opened a stream which is not over. Without it: on the plugin's own account. */
  for?: number | string | null;
}

/** What the host asks of a plugin. */
export interface HostMethods {
  /** Over a socket with a secret, before all else: prove that you know it. */
  "plugin.challenge": { params: Challenge; result: Proof };
  /** The first request: say who you are and in what you take part. */
  "plugin.register": { params: Register; result: Registration };
  /** The host starts, and calls come next. Only with the capability `start`. */
  "plugin.start": { params: Nothing; result: null };
  /** Take another configuration. Only with the capability `reconfigure`. */
  "plugin.reconfigure": { params: Reconfigure; result: null };
  /** Show that you are alive: any answer does, also the error -32601. Asked when nothing else is. */
  "$/ping": { params: Nothing; result: null };
  /** Finish what is in flight, answer this, and end. */
  "plugin.shutdown": { params: Shutdown; result: null };
  /** Say who calls; null: not mine. */
  "frontend_auth.authenticate": { params: OnCall; result: Authenticated | null };
  /** Decide where a call goes; null: no opinion. */
  "model.route": { params: OnCall; result: Route | null };
  /** Change the client's request, or answer it; null: unchanged. */
  "request.intercept_before": { params: OnCall; result: Change | null };
  /** Choose who serves the next attempt; null: the host chooses. */
  "scheduler.pick": { params: OnPick; result: Pick | null };
  /** Change one attempt's request before it is translated. */
  "request.intercept_after": { params: OnAttempt; result: Change | null };
  /** Turn a request's body into the upstream's dialect. */
  "request.translate": { params: Translate; result: Translated };
  /** Change the translated request, in the upstream's dialect. */
  "request.normalize": { params: OnAttempt; result: Change | null };
  /** Change the upstream's answer before it is translated. */
  "response.normalize": { params: OnAttemptReply; result: Change | null };
  /** Turn a whole answer into the client's dialect. */
  "response.translate": { params: Translate; result: Translated };
  /** Begin to translate a streamed answer. */
  "response.translate.open": { params: TranslateOpen; result: null };
  /** Translate events of a stream. */
  "response.translate.event": { params: TranslateEvents; result: TranslatedEvents | null };
  /** The stream is over: say what is missing. */
  "response.translate.close": { params: TranslateEvents; result: TranslatedEvents | null };
  /** Change a whole answer, in the client's dialect. */
  "response.intercept_after": { params: OnCallReply; result: Change | null };
  /** Say whether you want the events of a stream. */
  "response.intercept_stream_chunk.open": { params: OpenStream; result: Handle | null };
  /** Keep, replace, drop or add events, or end the stream. Also for streams that `response.normalize` asked for. */
  "response.intercept_stream_chunk.event": { params: OnEvents; result: EventAnswers | null };
  /** The stream ends: add what is to stand before. */
  "response.intercept_stream_chunk.close": { params: CloseStream; result: Closing | null };
  /** Learn what came of a call. */
  "request.complete": { params: OnComplete; result: null };
  /** Learn what an attempt cost. */
  "usage.handle": { params: OnUsage; result: null };
  /** Name your providers, and further models of others. */
  "model.register": { params: Nothing; result: Providers };
  /** Say which models a credential may call. */
  "model.for_auth": { params: ForAuth; result: Models };
  /** Answer an attempt with a whole answer. */
  "executor.execute": { params: Execute; result: Reply };
  /** Answer an attempt with a stream. */
  "executor.execute_stream": { params: ExecuteStream; result: Reply };
  /** Answer an attempt to count tokens. */
  "executor.count_tokens": { params: Execute; result: Reply };
  /** Answer an attempt to read, change or delete a resource. */
  "executor.http_request": { params: Execute; result: Reply };
  /** Name your sources of credentials. Needs a grant. */
  "auth.register": { params: Nothing; result: Sources };
  /** Return all credentials of a source. */
  "auth.load": { params: OnSource; result: Credentials };
  /** Read one stored file; null: not mine. */
  "auth.parse": { params: Parse; result: Credentials | null };
  /** Keep credentials in a source; each takes the place of the one with its id. */
  "auth.save": { params: SaveCredentials; result: null };
  /** Forget a credential of a source. */
  "auth.remove": { params: RemoveCredential; result: null };
  /** Start a login. */
  "auth.login.start": { params: LoginStart; result: LoginStep };
  /** Say whether a login is done. */
  "auth.login.poll": { params: LoginPoll; result: LoginStep };
  /** Return a credential with a fresh secret. */
  "auth.refresh": { params: OnCredential; result: Refreshed };
  /** Return the windows of an account's quota. */
  "auth.quota": { params: OnCredential; result: Quota };
  /** Name the pairs of dialects that you translate between. */
  "translate.register": { params: Nothing; result: Translators };
  /** Name your HTTP routes. */
  "management.register": { params: Nothing; result: Routes };
  /** Answer a request of one of your routes. */
  "management.handle": { params: OnRoute; result: Reply };
  /** Name your commands. */
  "command_line.register": { params: Nothing; result: Commands };
  /** Run a command. */
  "command_line.execute": { params: RunCommand; result: CommandDone };
}

/** What a plugin asks of the host. */
export interface PluginMethods {
  /** About the host, and the plugin's own id. */
  "host.info": { params: Within; result: HostInfo };
  /** Write to the host's log, under the plugin's name. */
  "host.log": { params: Log; result: null };
  /** Send a request through the host's connections; the answer comes whole. */
  "host.http.request": { params: HttpAsk; result: HttpAnswer };
  /** Send a request; the answer's body comes as a stream. */
  "host.http.stream": { params: HttpStream; result: HttpAnswer };
  /** Make a call and get its whole answer. */
  "host.model.execute": { params: ModelAsk; result: Reply };
  /** Make a call and get its answer as a stream. */
  "host.model.execute_stream": { params: ModelStream; result: null };
  /** The models that can be called now. */
  "host.models.list": { params: Within; result: Models };
  /** Read a value of the plugin's own. */
  "host.state.get": { params: StateKey; result: StateValue };
  /** Set a value. */
  "host.state.set": { params: StateSet; result: StateWasSet };
  /** Add to a counter. */
  "host.state.add": { params: StateAdd; result: StateSum };
  /** Forget a value. */
  "host.state.delete": { params: StateKey; result: null };
  /** All credentials that are in use, without what may hold a secret. */
  "host.auth.list": { params: Within; result: Credentials };
  /** One credential; with its key where the plugin has a grant and one of its hooks the need `secret`. */
  "host.auth.get": { params: AuthGet; result: CredentialAbout };
  /** How a credential is: in flight, resting, quota. */
  "host.auth.get_runtime": { params: AuthGet; result: CredentialState };
  /** A source of yours has other credentials now: load them. */
  "host.auth.changed": { params: AuthChanged };
  /** Keep credentials. Needs a grant. */
  "host.auth.save": { params: AuthSave; result: null };
}

/** What either side tells the other, without an answer. */
export interface Notifications {
  /** The next items of a stream, from who answers it. */
  "stream.item": { params: Items };
  /** A stream is over. */
  "stream.end": { params: EndOfStream };
  /** So many items more may be sent, from who reads a stream. */
  "stream.credit": { params: Credit };
  /** The answer to a request is not waited for any more. */
  "$/cancel": { params: Cancel };
}

/** Everything that is sent, by name. */
export interface Methods extends HostMethods, PluginMethods, Notifications {}

export type Params<M extends keyof Methods> = Methods[M]["params"];
export type Result<M extends keyof Methods> = Methods[M] extends { result: infer R } ? R : never;
export type Id = number | string;

export interface RpcRequest<M extends keyof Methods> {
  jsonrpc: "2.0";
  id: Id;
  method: M;
  params: Params<M>;
}
export interface RpcNotification<M extends keyof Methods> {
  jsonrpc: "2.0";
  method: M;
  params: Params<M>;
}
export interface RpcResult<M extends keyof Methods> {
  jsonrpc: "2.0";
  id: Id;
  result: Result<M>;
}
export interface RpcFailure {
  jsonrpc: "2.0";
  id: Id;
  error: RpcError;
}

/** Answers of a plugin, by the methods that it takes part in: what a dispatcher needs. */
export type Handlers = {
  [M in keyof HostMethods]?: (params: Params<M>, id: Id) => Result<M> | Promise<Result<M>>;
};

/** The codes of errors. */
export type ErrorCode =
  /** What came is no JSON. */
  | -32700
  /** What came is no request; or more was sent on a stream than there was credit for. */
  | -32600
  /** There is no such method. To `response.intercept_stream_chunk.close`: nothing to add. */
  | -32601
  /** The params are not those of the method; or `for` names a request that is over. */
  | -32602
  /** The program that was asked is at fault. */
  | -32603
  /** A call failed; `data` says how. */
  | -32000
  /** The operator has not granted it. */
  | -32001
  /** Too many requests at once. */
  | -32003
  /** The request was cancelled. */
  | -32800;
