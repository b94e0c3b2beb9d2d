/** The shell: navigation, keys and overlays around the screen of the address. */
import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { Route, Router, Switch, useLocation } from 'wouter-preact';
import { agentCard, loadCard } from './api/calls.ts';
import { startFeed } from './api/feed.ts';
import { basePath, credential, refusal } from './api/session.ts';
import { startWaiting, waitingCount } from './api/waiting.ts';
import { TaskScreen } from './screens/task/screen.tsx';
import { TasksScreen } from './screens/tasks/screen.tsx';
import { NewScreen } from './screens/new/screen.tsx';
import { AgentScreen } from './screens/agent/screen.tsx';
import { OperationsScreen } from './screens/operations/screen.tsx';
import { InboxScreen } from './screens/inbox/screen.tsx';
import { SchedulesScreen } from './screens/schedules/screen.tsx';
import { WebhooksScreen } from './screens/webhooks/screen.tsx';
import { UsageScreen } from './screens/usage/screen.tsx';
import { Help } from './shell/help.tsx';
import { useKeys } from './shell/keys.ts';
import { Nav } from './shell/nav.tsx';
import { Palette } from './shell/palette.tsx';
import { listScreens } from './shell/screens.ts';
import { SignIn } from './shell/sign-in.tsx';
import { switchTheme } from './shell/theme.ts';
import { Empty, ErrorNote, Page, Skeleton } from './ui/basics.tsx';
import { openDialogs } from './ui/dialog.tsx';
import { Toasts } from './ui/toast.tsx';

export function App(): JSX.Element {
  return (
    <Router base={`${basePath}/console`}>
      <Shell />
    </Router>
  );
}

function Shell(): JSX.Element {
  const [overlay, setOverlay] = useState<'help' | 'search' | undefined>();
  const [, navigate] = useLocation();
  const close = (): void => setOverlay(undefined);
  useKeys([
    { keys: '?', does: 'Show these keys', run: () => setOverlay('help') },
    { keys: '/', does: 'Search', run: () => setOverlay('search') },
    ...listScreens().map(({ path, name, key }) => ({
      keys: `g ${key}`,
      does: `Go to ${name}`,
      run: () => navigate(path),
    })),
    { keys: 'n', does: 'New task', run: () => navigate('/new') },
    { keys: 'd', does: 'Switch between dark and light', run: switchTheme },
  ]);
  return (
    <>
      <a class="skip" href="#main">
        Skip to the content
      </a>
      <Nav
        waiting={waitingCount.value}
        onSearch={() => setOverlay('search')}
        onHelp={() => setOverlay('help')}
      />
      <Content />
      {overlay === 'help' && <Help onClose={close} />}
      {overlay === 'search' && <Palette onClose={close} />}
      {openDialogs.value === 0 && <Toasts />}
    </>
  );
}

/** Reads the card, and asks for a credential if it names one, before any screen makes a call. */
function Content(): JSX.Element {
  const [problem, setProblem] = useState<string | undefined>();
  const load = (): void => {
    setProblem(undefined);
    loadCard().catch((error: unknown) => setProblem((error as Error).message));
  };
  useEffect(load, []);
  const card = agentCard.value;
  const needsCredential = (card?.securityRequirements ?? []).length > 0;
  const isReady =
    card !== undefined && refusal.value === undefined && (!needsCredential || credential.value !== undefined);
  useEffect(() => {
    if (!isReady) return undefined;
    const stops = [startFeed(), startWaiting()];
    return () => stops.forEach((stop) => stop());
  }, [isReady, credential.value]);
  if (problem !== undefined) {
    return (
      <Page title="No connection">
        <ErrorNote error={problem} retry={load} />
      </Page>
    );
  }
  if (card === undefined) {
    return (
      <Page title="Loading">
        <Skeleton lines={6} />
      </Page>
    );
  }
  return isReady ? <Screens /> : <SignIn />;
}

function Screens(): JSX.Element {
  return (
    <Switch>
      <Route path="/">
        <TasksScreen />
      </Route>
      <Route path="/tasks/:id/:tab?">
        {({ id, tab }: { id: string; tab?: string }) => <TaskScreen key={id} id={id} tab={tab} />}
      </Route>
      <Route path="/new">
        <NewScreen />
      </Route>
      <Route path="/inbox">
        <InboxScreen />
      </Route>
      <Route path="/webhooks">
        <WebhooksScreen />
      </Route>
      <Route path="/schedules">
        <SchedulesScreen />
      </Route>
      <Route path="/usage">
        <UsageScreen />
      </Route>
      <Route path="/agent">
        <AgentScreen />
      </Route>
      <Route path="/operations">
        <OperationsScreen />
      </Route>
      <Route>
        <Page title="No such screen">
          <Empty icon="search" title="Nothing is at this address">
            <p>
              Press <kbd>/</kbd> to search, or choose a screen.
            </p>
          </Empty>
        </Page>
      </Route>
    </Switch>
  );
}
