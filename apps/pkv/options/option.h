// An option, and a command that takes options, as data. The command line is read by it (option_set.h), and a program
// that only wants to know what pkv understands, for a man page or a shell's completion, reads it without running
// anything.
//
// Names, texts and choices are views of what lives as long as the program. What a target points at must live as long as
// its Command: `run` owns it.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace pkv::program {

// What the words given to an option are read into; the type says what they must be. A bool makes the option a flag.
using Target =
    std::variant<bool*, std::string*, std::optional<std::string>*, int*, std::int64_t*, std::optional<std::int64_t>*,
                 std::uint64_t*, std::optional<std::uint64_t>*, double*, std::optional<double>*, std::optional<float>*,
                 std::vector<std::string>*, std::vector<std::int64_t>*, std::optional<std::vector<std::int64_t>>*>;

// What each word given to an option must be.
struct Check {
  enum class Kind : std::uint8_t {
    any,
    one_of,           // of `choices`
    within,           // a whole number from `least` to `most`
    at_least,         // a number of at least `least`
    existing_file,    // but no folder
    existing_folder,  // but no file
    readable,         // an existing file, or "-", which is stdin
    size,             // "500MB", "2GiB": a number of bytes of at least `least`
  };
  Kind kind = Kind::any;
  std::span<const std::string_view> choices{};
  std::int64_t least = 0, most = 0;
  // Of one_of: how others spell a choice, and the choice.
  std::span<const std::pair<std::string_view, std::string_view>> spellings{};
};
using Spellings = std::span<const std::pair<std::string_view, std::string_view>>;
inline Check one_of(std::span<const std::string_view> choices, Spellings spellings = {}) {
  return {.kind = Check::Kind::one_of, .choices = choices, .spellings = spellings};
}
inline Check within(std::int64_t least, std::int64_t most) { return {Check::Kind::within, {}, least, most}; }
inline Check at_least(std::int64_t least) { return {Check::Kind::at_least, {}, least}; }

struct Option {
  std::string_view name;    // "--text"; "-y,--yes"; without dashes, "MODEL", a word that is known by its place
  std::string_view also{};  // another name of it, which was its name once: "--prompt"
  Target target;
  std::string_view help;
  Check check{};
  std::string_view value{};  // what help calls the value, where that says more than its type: "GLOB"
  bool required = false;
  bool shows_default = false;    // help shows what the target holds
  std::string_view otherwise{};  // what help shows as the default
  bool commas = false;           // of a list: "a,b" is two
  int words = 0;                 // of a list: exactly so many words follow; 0: as many as there are
  std::array<std::string_view, 2> excludes{}, needs{};  // names of options declared before
};

struct Command {
  std::string_view name, help;
  std::function<std::string()> first_note{};  // a paragraph below the options that takes work to write
  std::string_view notes{};                   // paragraphs after it
  std::vector<std::string_view> examples{};
  std::vector<Option> options{};
  // Error::usage where the options that were given make no sense together. `given`: the names of those options, in the
  // order of `options`.
  std::function<void(std::span<const std::string_view> given)> misuse{};
  std::vector<std::function<void()>> before{};  // called before `run`, after `misuse`; may throw as it
  std::function<int()> run{};                   // after the targets are set; gives the exit code
  std::vector<Command> commands{};              // of a command that is only a group: one of these must be given

  Command& add(const Option& option);
  Command& add(std::initializer_list<Option> more);
  Option& option(std::string_view name_of_it);  // the option must be there
  void remove(std::string_view name_of_it);
};

// The notes and examples of a command, as its help ends.
std::string footer_of(const Command& command);

// "TEXT", "INT", "UINT", "FLOAT"; of a flag nothing.
std::string_view type_name(const Target& target);
bool is_list(const Target& target);

}  // namespace pkv::program
