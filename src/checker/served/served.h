// Does a server's cache change its answers? The door of the room.
//
//   auto server = servers::connect({.url = "http://127.0.0.1:8080"});
//   served::Report report = served::check(*server, {.text = text});
//   fmt::print("{}", show::as_text(served::document(report)));
//   return report.verdict.holds() ? 0 : 1;
//
// Nothing here knows how a server is spoken to: see server.h, and servers/servers.h.
#pragma once

#include "checker/served/document.h"
#include "checker/served/report.h"
#include "checker/served/run.h"
#include "checker/served/server.h"
#include "checker/served/timing.h"
#include "checker/served/versus.h"
