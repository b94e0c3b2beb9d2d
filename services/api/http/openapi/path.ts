/** The path of the OpenAPI document. */
export const openApiPath = '/openapi.json';
