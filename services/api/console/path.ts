/** The path of the console on the front door. */
export const consolePath = '/console';
