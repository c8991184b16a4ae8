// --output and --output-file: in which form a result is told, and where to.
//
// A command that knows several forms has a table of them, from which the choices of --output are taken, too:
//
//   constexpr Telling<Report> kForms[] = {{Form::table, [](const Report& r, const show::Terminal& t) { ... }}, ...};
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "options/option.h"
#include "show/terminal.h"

namespace pkv::program {

enum class Form : std::uint8_t { table, text, json, csv, md, html, junit };
std::string_view name_of(Form form);

// How a Result is told in a form; the terminal is that of Form::table.
template <class Result>
struct Telling {
  Form form;
  std::string (*tell)(const Result& result, const show::Terminal& terminal);
};

struct OutputOptions {
  std::string form;                       // by its name; empty: as the file's name says, or the first of `choices`
  std::string file;                       // empty: stdout
  std::vector<std::string_view> choices;  // of `form`
  bool verbose = false;                   // --verbose, of commands that are short without it
  std::string_view rest;                  // what such a command says then of where the rest is

  // The first of the forms is the default.
  void declare(Command& command, const std::vector<Form>& forms);
  template <class Result, std::size_t n>
  void declare(Command& command, const Telling<Result> (&forms)[n]) {
    std::vector<Form> all;
    for (const auto& one : forms) all.push_back(one.form);
    declare(command, all);
  }

  // --verbose; `rest_of_it`: what is said without it.
  void declare_verbose(Command& command, std::string_view rest_of_it);

  // The form that --output or else the ending of the file's name asks for: by its name. Error::usage where the ending
  // is that of a form which is none of the choices.
  std::string_view chosen() const;
  bool is(Form wanted) const { return chosen() == name_of(wanted); }
  bool colour() const;  // a terminal that wants it
  show::Terminal terminal() const;
  // Error::load when it cannot be written. `verdict`: what it comes to, which is said on stderr where the text goes to
  // a file. A pipe that nobody reads any more ends the program as it ends others.
  void write(std::string_view text, std::string_view verdict = {}) const;

  // As wide as a terminal, at most; of any width where a file or a program reads it. A line of a name and a value, that
  // goes on under the value; and rows under each other, the first of them the headings.
  std::string line(std::string_view name, const std::string& value) const;
  bool fits(std::string_view line) const;
  std::string table(const std::vector<std::vector<std::string>>& rows, const std::vector<bool>& left) const;

  // The result in the form that was asked for.
  template <class Result, std::size_t n>
  std::string told(const Result& result, const Telling<Result> (&forms)[n]) const {
    std::size_t chosen = 0;
    while (chosen + 1 < n && !is(forms[chosen].form)) ++chosen;
    return forms[chosen].tell(result, terminal());
  }
};

}  // namespace pkv::program
