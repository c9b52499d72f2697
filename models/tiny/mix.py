"""How often training draws each task: its share in the corpus, times how often it still goes wrong."""

import corpus


class Mix:
    """Watches which rows are all right. What is learned comes seldom, so that the steps go to what is not."""

    SLOWNESS, FLOOR = 0.995, 0.15

    def __init__(self):
        self.wrong = {task.__name__: 1.0 for task in corpus.TASKS}

    def weights(self):
        return [share * (self.FLOOR + self.wrong[task.__name__]) for task, (share, _) in corpus.TASKS.items()]

    def watch(self, tasks, right):
        for task, good in zip(tasks, right):
            self.wrong[task] += (1 - self.SLOWNESS) * (1 - good - self.wrong[task])

    def state_dict(self):
        return self.wrong

    def load_state_dict(self, state):
        self.wrong = state
