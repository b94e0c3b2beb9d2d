/** Apart from the rest of the extension, because browsers need it too (longhaul/ai-sdk/chat). */
export const approvalExtension = 'https://longhaul.dev/ext/approval/v1';
