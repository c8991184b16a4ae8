#include "options/server.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <random>

#include "servers/servers.h"
#include "show/columns.h"
#include "show/environment.h"
#include "terminal/say.h"

namespace pkv::program {

const std::string_view kServerPrompt =
    "A library keeps more than books. It keeps the order in which they were found, the pencil marks of readers who "
    "disagreed with the author, a tram ticket from a year that nobody remembers, and the quiet that settles when forty "
    "people read in one room. When the new building was planned, the council asked what could be thrown away. The "
    "oldest of the librarians answered with a list of things that had been thrown away before: the card catalogue, "
    "which was the only record of who had borrowed what before the fire; the second copy of every newspaper, until it "
    "turned out that the first copies had been printed on paper that crumbled; and the reading lamps, whose green "
    "shades "
    "came back a generation later at ten times the price. The council thanked her and voted for the plan. On the day "
    "of "
    "the move, students formed a chain across the square and handed the books from one building to the other. It took "
    "nine hours. At the end of it, somebody counted: of one hundred and eighteen thousand volumes, three were missing, "
    "and eleven had arrived that were in no catalogue at all. Nobody ever found out where they had come from, but the";

void ServerAddress::declare(Command& command, std::string_view help) {
  static const std::vector<std::string_view> apis(servers::dialects().begin(), servers::dialects().end());
  command.add({{.name = "--server", .target = &url, .help = help, .value = "URL"},
               {.name = "--api",
                .target = &api,
                .help = "what the server speaks",
                .check = one_of(apis),
                .otherwise = "found by asking",
                .needs = {"--server"}},
               {.name = "--api-key",
                .target = &key,
                .help = "its key; better in PKV_API_KEY, since others see command lines",
                .needs = {"--server"}},
               {.name = "--model-name",
                .target = &model,
                .help = "which of the server's models",
                .otherwise = "its first",
                .needs = {"--server"}},
               {.name = "--max-requests",
                .target = &most_requests,
                .help = "how many the server is asked at most",
                .check = within(1, 100'000),
                .shows_default = true,
                .needs = {"--server"}},
               {.name = "--rate",
                .target = &rate,
                .help = "how many it is asked a second at most (0: as fast as it answers)",
                .check = at_least(0),
                .shows_default = true,
                .needs = {"--server"}},
               {.name = "--timeout",
                .target = &timeout,
                .help = "seconds for an answer",
                .check = within(1, 86'400),
                .shows_default = true,
                .needs = {"--server"}}});
}

bool ServerAddress::takes(std::string_view option) {
  constexpr std::string_view names[] = {"--server",       "--api",  "--api-key", "--model-name",
                                        "--max-requests", "--rate", "--timeout"};
  return std::ranges::find(names, option) != std::end(names);
}

servers::Endpoint ServerAddress::endpoint(const std::atomic<bool>& stop) const {
  servers::Endpoint endpoint{.url = url, .api = api, .key = key, .model = model};
  if (endpoint.key.empty()) endpoint.key = environment("PKV_API_KEY");
  endpoint.candidates = static_cast<int>(candidates);
  endpoint.rate = rate;
  endpoint.timeout = std::chrono::seconds(timeout);
  endpoint.tell = [](const std::string& line) { note(line); };
  endpoint.stop = &stop;
  return endpoint;
}

// The command line as it was given, but for keys: `url` is the server's address without them.
std::string command_line(const std::string& url, const std::string& against) {
  std::vector<std::string> words = show::started_with();
  const auto in_place = [&](std::string_view option, const std::string& value) {
    for (std::size_t i = 0; i < words.size(); ++i) {
      if (words[i] == option && i + 1 < words.size()) words[i + 1] = value;
      if (words[i].starts_with(std::string(option) + "=")) words[i] = fmt::format("{}={}", option, value);
    }
  };
  in_place("--api-key", "...");
  in_place("--server", url);
  if (!against.empty()) in_place("--against", against);
  return show::shell_command(words);
}

// Texts that begin with it were never asked before by anybody.
std::string mark_of_this_run() {
  std::random_device device;
  return fmt::format("{:08x}", device());
}

void tell_requests(const std::string& who, std::int64_t requests, std::int64_t longest) {
  const std::string size = longest > 0 ? fmt::format(" of at most {}", show::counted(longest, "token")) : "";
  note(fmt::format("{}: at most {}{}", who, show::counted(requests, "request"), size));
}

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace pkv::program
