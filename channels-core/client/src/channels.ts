export { ChannelsSocket } from "./socket.js";
export { BufferFullError } from "./types.js";
export type {
  CloseEvent, Data, Events, MessageEvent, OpenEvent, Options, ReopenEvent, State, StateEvent, Transport, TransportEvent,
} from "./types.js";
