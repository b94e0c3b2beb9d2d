/** The environment variable with the address of the run's server. */
export const serverVariable = 'LONGHAUL_TEST_POSTGRES';
/** The environment variable with the port that tests connect to. */
export const portVariable = 'LONGHAUL_TEST_POSTGRES_PORT';
