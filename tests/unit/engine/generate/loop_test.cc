#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <numeric>

#include "base/error.h"
#include "base/softmax.h"
#include "engine/generate/generate.h"
#include "support/places.h"

namespace pkv::generate {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Ids = std::vector<std::int32_t>;

const model::Model& tiny(const std::string& name) {
  static std::map<std::string, model::Model> models;
  if (const auto at = models.find(name); at != models.end()) return at->second;
  auto folder = hf::Folder::open((support::source() / "models").string() + "/" + name);
  return models.emplace(name, model::load(std::move(folder), kernels::Backend("cpu", 2))).first->second;
}

const model::Model& gpt2() { return tiny("tiny-gpt2"); }
const Ids kPrompt{40, 310, 263, 344};

std::string error_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

// The best token each time, from the whole text.
Ids plainly_greedy(const model::Model& m, Ids text, int count) {
  for (int i = 0; i < count; ++i) {
    model::Past past = m.new_past();
    const model::Feed feed{.ids = text, .past = &past};
    text.push_back(static_cast<std::int32_t>(argmax(m.forward({&feed, 1}, model::Want::last).span<float>())));
  }
  return {text.end() - count, text.end()};
}

TEST(Generate, GreedyIsTheBestTokenEachTime) {
  const Result r = run(gpt2(), kPrompt, {.max_new_tokens = 9});
  ASSERT_EQ(r.sequences.size(), 1u);
  EXPECT_EQ(r.sequences[0].ids, plainly_greedy(gpt2(), kPrompt, 9));
  EXPECT_EQ(r.sequences[0].finish, Finish::length);
  EXPECT_EQ(r.prompt_tokens, 4);
  EXPECT_EQ(r.reused, 0);
  EXPECT_FALSE(r.interrupted);
}

TEST(Generate, TellsEachTokenWhenItIsChosen) {
  std::vector<Token> told;
  const Events events{.token = [&](const Token& t) {
    EXPECT_EQ(t.id, argmax(t.logits));
    EXPECT_EQ(t.log_probability, LogSoftmax(t.logits).of(t.logits[static_cast<std::size_t>(t.id)]));
    told.push_back(t);
    return true;
  }};
  const Result r = run(gpt2(), kPrompt, {.max_new_tokens = 3, .log_probabilities = true}, events);
  ASSERT_EQ(told.size(), 3u);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(told[i].index, static_cast<std::int64_t>(i));
    EXPECT_EQ(told[i].id, r.sequences[0].ids[i]);
    EXPECT_EQ(told[i].last, i == 2);
    EXPECT_EQ(told[i].seconds, r.sequences[0].seconds[i]);
    EXPECT_EQ(told[i].log_probability, r.sequences[0].log_probabilities[i]);
  }
  EXPECT_LE(r.prompt_seconds, told[0].seconds);
  EXPECT_LE(told[0].seconds, told[1].seconds);
  EXPECT_LE(told[2].seconds, r.seconds);
}

TEST(Generate, EndsWithAnyOfTheEndOfTextTokens) {
  const Ids all = plainly_greedy(gpt2(), kPrompt, 6);
  const auto at = std::find(all.begin(), all.end(), all[4]) - all.begin();
  const Result r = run(gpt2(), kPrompt, {.max_new_tokens = 6, .eos_token_id = {-7, all[4], 99'999}});
  EXPECT_EQ(r.sequences[0].ids, Ids(all.begin(), all.begin() + at + 1));
  EXPECT_EQ(r.sequences[0].finish, Finish::eos);
}

TEST(Generate, EndsWhereTheCallerSaysSo) {
  const Result r = run(gpt2(), kPrompt, {.max_new_tokens = 6}, {.token = [](const Token& t) { return t.index < 2; }});
  EXPECT_EQ(r.sequences[0].ids.size(), 3u);
  EXPECT_EQ(r.sequences[0].finish, Finish::stop);
  EXPECT_FALSE(r.interrupted);
}

TEST(Generate, AnInterruptionLeavesWhatThereIs) {
  std::atomic<bool> flag = false;
  const Events events{.token =
                          [&](const Token& t) {
                            flag = t.index == 3;
                            return true;
                          },
                      .interrupted = &flag};
  for (const bool use_past : {true, false}) {
    flag = false;
    const Result r = run(gpt2(), kPrompt, {.max_new_tokens = 9, .use_past = use_past}, events);
    EXPECT_EQ(r.sequences[0].ids, plainly_greedy(gpt2(), kPrompt, 4));
    EXPECT_EQ(r.sequences[0].finish, Finish::interrupted);
    EXPECT_TRUE(r.interrupted);
    const Result none = run(gpt2(), kPrompt, {.use_past = use_past}, events);  // the flag is still up
    EXPECT_TRUE(none.sequences[0].ids.empty());
    EXPECT_EQ(none.sequences[0].finish, Finish::interrupted);
  }
}

TEST(Generate, OneSequenceMayEndBeforeTheOthers) {
  const Options options{.max_new_tokens = 8, .sampling = {.do_sample = true, .seed = 3}, .num_sequences = 3};
  const Result all = run(gpt2(), kPrompt, options);
  const Result r =
      run(gpt2(), kPrompt, options, {.token = [](const Token& t) { return t.sequence != 1 || t.index < 1; }});
  EXPECT_EQ(r.sequences[0].ids, all.sequences[0].ids);
  EXPECT_EQ(r.sequences[1].ids, Ids(all.sequences[1].ids.begin(), all.sequences[1].ids.begin() + 2));
  EXPECT_EQ(r.sequences[2].ids, all.sequences[2].ids);
}

TEST(Generate, GoesOnFromAPast) {
  model::Past past = gpt2().new_past();
  const Options options{.max_new_tokens = 5};
  const Result first = run(gpt2(), past, kPrompt, options);
  EXPECT_EQ(past.length(), 4 + 4) << "the last token is not fed";
  Ids text = kPrompt;
  text.insert(text.end(), first.sequences[0].ids.begin(), first.sequences[0].ids.end());
  const Result second = run(gpt2(), past, text, options);
  EXPECT_EQ(second.reused, 8);
  EXPECT_EQ(second.sequences[0].ids, plainly_greedy(gpt2(), text, 5));
  const Ids other{40, 310, 7, 8, 9};
  const Result third = run(gpt2(), past, other, options);
  EXPECT_EQ(third.reused, 2) << "the texts part after two tokens";
  EXPECT_EQ(third.sequences[0].ids, plainly_greedy(gpt2(), other, 5));
  const Result again = run(gpt2(), past, Ids{40, 310}, options);
  EXPECT_EQ(again.reused, 1) << "the last token's logits are wanted";
  EXPECT_EQ(again.sequences[0].ids, plainly_greedy(gpt2(), Ids{40, 310}, 5));
}

TEST(Generate, ReadsALongPromptInChunks) {
  Ids prompt(150);
  std::iota(prompt.begin(), prompt.end(), 20);
  std::vector<std::int64_t> done;
  const Events events{.prompt = [&](std::int64_t n, std::int64_t total) {
    EXPECT_EQ(total, 150);
    done.push_back(n);
  }};
  const Result r = run(gpt2(), prompt, {.max_new_tokens = 4, .chunk = 64}, events);
  EXPECT_THAT(done, ElementsAre(64, 128, 150));
  EXPECT_EQ(r.sequences[0].ids, plainly_greedy(gpt2(), prompt, 4));
}

TEST(Generate, ReadsALongTextInChunksWithoutPast) {
  Ids prompt(150);
  std::iota(prompt.begin(), prompt.end(), 20);
  std::vector<std::int64_t> done;
  std::atomic<bool> flag = false;
  const Events events{.prompt = [&](std::int64_t n, std::int64_t) { done.push_back(n); }, .interrupted = &flag};
  const Options options{.max_new_tokens = 4, .use_past = false, .logits_hash = true, .chunk = 64};
  const Sequence s = run(gpt2(), prompt, options, events).sequences[0];
  EXPECT_THAT(done, ElementsAre(64, 128, 150)) << "the prompt alone is told";
  EXPECT_EQ(s.ids, plainly_greedy(gpt2(), prompt, 4));
  EXPECT_EQ(s.logits_hash, run(gpt2(), prompt, {.max_new_tokens = 4, .logits_hash = true}).sequences[0].logits_hash);
  done.clear();
  const Events stopping{.prompt =
                            [&](std::int64_t n, std::int64_t) {
                              done.push_back(n);
                              flag = true;
                            },
                        .interrupted = &flag};
  EXPECT_TRUE(run(gpt2(), prompt, options, stopping).interrupted);
  EXPECT_THAT(done, ElementsAre(64)) << "an interruption waits for one call, not for the text";
}

TEST(Generate, NeverOutgrowsAHardContext) {
  const Ids prompt(250, 5);
  EXPECT_EQ(room_after(gpt2().card(), 250), 7);  // 256 places, and the last token needs none
  EXPECT_EQ(run(gpt2(), prompt, {.max_new_tokens = 7}).sequences[0].ids.size(), 7u);
  for (const bool beyond : {true, false}) {
    const Options options{.max_new_tokens = 8, .beyond_context = beyond};
    const std::string said = error_of([&] { run(gpt2(), prompt, options); });
    EXPECT_THAT(said, HasSubstr("at most 7 new tokens after a prompt of 250 (context: 256)"));
    EXPECT_THAT(said, testing::Not(HasSubstr("--beyond-context")));
  }
  EXPECT_EQ(room_after(gpt2().card(), 1000), 0);
}

TEST(Generate, OutgrowsASoftContextOnlyWhenAskedTo) {
  const model::Model& mpt = tiny("tiny-mpt");
  const Ids prompt(250, 5);
  EXPECT_THAT(error_of([&] { run(mpt, prompt, {.max_new_tokens = 20}); }), HasSubstr("--beyond-context"));
  const Options options{.max_new_tokens = 20, .beyond_context = true};
  EXPECT_EQ(run(mpt, prompt, options).sequences[0].ids, plainly_greedy(mpt, prompt, 20));
}

TEST(Generate, WhatMakesNoSenseIsRefused) {
  EXPECT_THAT(error_of([] { run(tiny("tiny-roberta"), kPrompt, {}); }), HasSubstr("attends both ways"));
  EXPECT_THAT(error_of([] { run(gpt2(), {}, {}); }), HasSubstr("prompt has no tokens"));
  EXPECT_THAT(error_of([] { run(gpt2(), kPrompt, {.max_new_tokens = 0}); }), HasSubstr("nothing to generate"));
  EXPECT_THAT(error_of([] { run(gpt2(), kPrompt, {.num_sequences = 2}); }), HasSubstr("all sequences are the same"));
  EXPECT_THAT(error_of([] { run(gpt2(), kPrompt, {.sampling = {.do_sample = true}, .num_sequences = 4097}); }),
              HasSubstr("at most 4096"));
  EXPECT_THAT(error_of([] { run(gpt2(), kPrompt, {.sampling = {.top_p = 2}}); }), HasSubstr("top_p"));
  EXPECT_THAT(error_of([] { run(gpt2(), Ids{1, 2000}, {}); }), HasSubstr("outside the vocabulary"));
  model::Past past = gpt2().new_past();
  EXPECT_THAT(error_of([&] { run(gpt2(), past, kPrompt, {.use_past = false}); }), HasSubstr("not to be used"));
  EXPECT_EQ(past.length(), 0);
}

}  // namespace
}  // namespace pkv::generate
