// Why a past was not what it should have been. The door of the room: a cause is a row of a list (cause.h), told apart
// from the others by what it would have led to (search.h), which makes explanations (explanation.h) of what went wrong
// in a living system (observe.h) or a recording (the room recorded).
#pragma once

#include "checker/causes/cause.h"
#include "checker/causes/explanation.h"
#include "checker/causes/observe.h"
