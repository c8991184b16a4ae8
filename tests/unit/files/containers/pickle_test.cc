#include "files/containers/pickle.h"

#include <array>

#include "files/containers/state_dict.h"
#include "unit/files/archives.h"
#include "unit/files/support.h"

namespace pkv::containers {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string refused(const std::string& ops) {
  return error_of([&] { parse_state_dict(pickle_of(ops), "f"); });
}
std::string refused_tensor(const TensorOps& tensor) { return refused(state_ops("w", tensor.ops())); }

TEST(StateDict, ATensor) {
  const std::string pickle = pickle_of(state_ops("w", TensorOps{.elements = 10, .offset = 4}.ops()));
  const StateDict state = parse_state_dict(pickle, "f");
  ASSERT_EQ(state.entries.size(), 1u);
  const StateDict::Entry& e = state.entries[0];
  EXPECT_EQ(e.name, "w");
  EXPECT_EQ(e.dtype, "F32");
  EXPECT_EQ(e.readable, DType::f32);
  EXPECT_EQ(e.storage, "0");
  EXPECT_EQ(e.storage_bytes, 40u);
  EXPECT_EQ(e.offset, 4u);
  EXPECT_THAT(e.shape, ElementsAre(2, 3));
  EXPECT_THAT(e.stride, ElementsAre(3, 1));
  EXPECT_TRUE(e.dense());
  EXPECT_THAT(state.others, IsEmpty());
}

TEST(StateDict, WhatIsBuiltOntoIt) {
  const std::string versions = kOrderedDictOp + "(" + text_op("") + "}" + text_op("version") + "K\1s" + text_op("x") +
                               "]K\1aK\2aNN\x86"
                               "au";
  EXPECT_EQ(refused(kOrderedDictOp + "(" + text_op("w") + TensorOps().ops() + "u}b"), "no error");
  EXPECT_EQ(refused(kOrderedDictOp + state_ops("_metadata", versions) + "b"), "no error");
  EXPECT_EQ(refused(kOrderedDictOp + state_ops("_metadata", "}" + text_op("version") + "K\1s") + "b"), "no error");
  EXPECT_THAT(refused("}}b"), HasSubstr("BUILD on something else than an OrderedDict"));
  EXPECT_THAT(refused(kOrderedDictOp + "Nb"), AllOf(HasSubstr("BUILD on"), HasSubstr("found:    a dict, None")));
  EXPECT_THAT(refused(TensorOps().ops() + "}b"), HasSubstr("found:    a call, a dict"));
}

TEST(StateDict, DtypesByStorageAndByName) {
  const auto read = [](const TensorOps& tensor) {
    return parse_state_dict(pickle_of(state_ops("w", tensor.ops())), "f").entries.at(0);
  };
  const std::string v3 = global_op("torch._utils", "_rebuild_tensor_v3");
  const std::string untyped = global_op("torch.storage", "UntypedStorage");
  EXPECT_EQ(read({.storage_class = global_op("torch", "BFloat16Storage")}).storage_bytes, 12u);
  EXPECT_EQ(read({.storage_class = global_op("torch", "LongStorage")}).readable, DType::i64);
  EXPECT_EQ(read({.storage_class = global_op("torch", "ComplexDoubleStorage")}).readable, std::nullopt);
  TensorOps f8{.storage_class = untyped, .function = v3};
  f8.more += global_op("torch", "float8_e4m3fn");
  EXPECT_EQ(read(f8).dtype, "F8_E4M3");
  EXPECT_EQ(read(f8).storage_bytes, 6u);
  f8.more = "\x89" + kOrderedDictOp + global_op("torch", "uint16");
  EXPECT_THAT(refused_tensor(f8), HasSubstr("beyond the end of its storage"));
  f8.elements = 12;
  EXPECT_EQ(read(f8).readable, DType::u16);
  f8.more = "\x89" + kOrderedDictOp + "N";
  EXPECT_THAT(refused_tensor(f8), HasSubstr("dtype is none that pkv knows"));
  EXPECT_THAT(refused_tensor({.storage_class = untyped}), HasSubstr("storage has no dtype"));
  EXPECT_THAT(refused_tensor({.storage_class = "N"}), AllOf(HasSubstr("storage is none"), HasSubstr("found:    None")));
}

TEST(StateDict, ParametersAreTheirTensors) {
  const std::string parameter =
      global_op("torch._utils", "_rebuild_parameter") + "(" + TensorOps().ops() + "\x88" + kOrderedDictOp + "tR";
  EXPECT_EQ(parse_state_dict(pickle_of(state_ops("w", parameter)), "f").entries.size(), 1u);
  const std::string of_parameter =
      global_op("torch._utils", "_rebuild_parameter") + "(" + parameter + "\x88" + kOrderedDictOp + "tR";
  EXPECT_THAT(refused(state_ops("w", of_parameter)), HasSubstr("parameter of something else"));
  EXPECT_THAT(refused(state_ops("w", global_op("torch._utils", "_rebuild_parameter") + ")R")),
              AllOf(HasSubstr("wrong number of arguments"), HasSubstr("expected: 3 to 3")));
}

TEST(StateDict, OffsetsAndStridesStayInTheStorage) {
  constexpr std::uint64_t kHuge = 0x7fffffffffffffff;
  const auto at = HasSubstr("f: tensor 'w': ");
  EXPECT_THAT(refused_tensor({.elements = 5}), AllOf(at, HasSubstr("beyond the end"), HasSubstr("at most 5 elements")));
  EXPECT_THAT(refused_tensor({.offset = 1}), HasSubstr("beyond the end"));
  EXPECT_EQ(refused_tensor({.elements = 7, .offset = 1}), "no error");
  EXPECT_THAT(refused_tensor({.stride = {4, 1}}), HasSubstr("beyond the end"));
  EXPECT_EQ(refused_tensor({.stride = {0, 0}}), "no error");
  EXPECT_EQ(refused_tensor({.shape = {}, .stride = {}}), "no error");
  EXPECT_EQ(refused_tensor({.elements = 0, .shape = {0, 3}}), "no error");
  EXPECT_THAT(refused_tensor({.elements = 0, .offset = 1, .shape = {0, 3}}), HasSubstr("beyond the end"));
  EXPECT_THAT(refused_tensor({.offset = kHuge}), HasSubstr("beyond the end"));
  EXPECT_THAT(refused_tensor({.offset = kHuge, .stride = {kHuge, kHuge}}), HasSubstr("too large"));
  EXPECT_THAT(refused_tensor({.shape = {kHuge, kHuge}, .stride = {0, 0}}), HasSubstr("too large"));
  EXPECT_THAT(refused_tensor({.shape = {kHuge, 1}, .stride = {0, 0}}), HasSubstr("too large"));
  EXPECT_THAT(refused_tensor({.elements = kHuge}), HasSubstr("storage is too large"));
  EXPECT_THAT(refused_tensor({.elements = ~std::uint64_t{0}}), HasSubstr("storage size is no whole number"));
  EXPECT_THAT(refused_tensor({.offset = ~std::uint64_t{0}}),
              AllOf(HasSubstr("storage offset"), HasSubstr("found:    -1")));
  EXPECT_THAT(refused_tensor({.shape = {2, ~std::uint64_t{0}}}), HasSubstr("shape is no whole number"));
  EXPECT_THAT(refused_tensor({.stride = {1}}), HasSubstr("different rank"));
  const std::vector<std::uint64_t> deep(17, 1);
  EXPECT_THAT(refused_tensor({.shape = deep, .stride = deep}), HasSubstr("rank is too high"));
}

TEST(StateDict, StoragesInAnotherForm) {
  EXPECT_EQ(refused_tensor({.device = "cuda:0"}), "no error");
  for (const std::string key : {"", "..", "../0", "a/b", "/0"}) {
    EXPECT_THAT(refused_tensor({.key = key}), HasSubstr("storage has no plain name")) << key;
  }
  TensorOps negative;
  negative.more += "}" + text_op("neg") + "\x88s";
  EXPECT_THAT(refused_tensor(negative), AllOf(HasSubstr("changes values"), HasSubstr("clone()")));
  negative.more = "\x89" + kOrderedDictOp + "}";
  EXPECT_EQ(refused_tensor(negative), "no error");
  const std::string v2 = global_op("torch._utils", "_rebuild_tensor_v2");
  EXPECT_THAT(refused(state_ops("w", v2 + "(NNNNNNtR")), HasSubstr("has no storage"));
  EXPECT_THAT(refused(state_ops("w", v2 + "((NNNNNtQNNNNNtR")), HasSubstr("storage in another form"));
  EXPECT_THAT(refused(state_ops("w", v2 + ")R")), HasSubstr("wrong number of arguments"));
}

TEST(StateDict, WhatIsNone) {
  EXPECT_THAT(refused("N"), AllOf(HasSubstr("f: is not a state dict"), HasSubstr("found:    None")));
  EXPECT_THAT(refused(TensorOps().ops()), HasSubstr("found:    one tensor"));
  EXPECT_THAT(refused("]"), HasSubstr("found:    a list"));
  EXPECT_THAT(refused("}K\1Ns"), AllOf(HasSubstr("a key is no name"), HasSubstr("found:    an integer")));
  EXPECT_THAT(refused(state_ops("\xff", "N")), HasSubstr("a key is no name"));
  EXPECT_THAT(refused(state_ops("state_dict", state_ops("w", TensorOps().ops()))),
              AllOf(HasSubstr("f: tensor 'state_dict': is a dict of tensors: this is a training checkpoint"),
                    HasSubstr("try:")));
  const std::string w = text_op("w") + TensorOps().ops();
  EXPECT_THAT(refused("}(" + w + w + "u"), HasSubstr("tensor 'w': name appears twice"));
  EXPECT_THAT(refused("}(" + w + text_op("w") + "K\1u"), HasSubstr("tensor 'w': name appears twice"));
  const std::string pickle = pickle_of("}(" + w + text_op("step") + "K\1" + text_op("x") + "N" + "u");
  const StateDict state = parse_state_dict(pickle, "f");
  ASSERT_EQ(state.others.size(), 2u);
  EXPECT_EQ(state.others[0].describe(), "'step', an integer: '1'");
  EXPECT_EQ(state.others[1].describe(), "'x', None");
}

// What an entry says that is no tensor is kept, for those who know what it means.
TEST(StateDict, EntriesThatAreNoTensorsKeepWhatTheySay) {
  const std::string settings =
      "}(" + text_op("lr") + "G" + std::string(8, 'x') + text_op("names") + "](" + text_op("a") + "eu";
  const std::string pickle = pickle_of("}(" + text_op("w.weight_format") + text_op("col_turing") + text_op("flag") +
                                       "\x88" + text_op("args") + settings + text_op("list") + "]" + "u");
  const auto others = parse_state_dict(pickle, "f").others;
  ASSERT_EQ(others.size(), 4u);
  EXPECT_EQ(others[0].name, "w.weight_format");
  EXPECT_EQ(others[0].kind, "a text");
  EXPECT_EQ(others[0].value, "col_turing");
  EXPECT_EQ(others[1].value, "True");
  EXPECT_EQ(others[2].describe(), "'args', a dict") << "without tensors it is no checkpoint within the checkpoint";
  EXPECT_EQ(others[3].describe(), "'list', a list");
}

TEST(StateDict, TensorsWithinAnEntryAreATrainingCheckpoint) {
  const std::string deep = "}(" + text_op("a") + "](" + TensorOps().ops() + "eu";
  EXPECT_THAT(refused(state_ops("optimizer", deep)),
              HasSubstr("'optimizer': is a dict of tensors: this is a training"));
  EXPECT_THAT(refused(state_ops("all", "](" + TensorOps().ops() + "e")), HasSubstr("'all': is a list of tensors"));
}

TEST(StateDict, AttributesOfParametersAreNoted) {
  const std::string call =
      global_op("torch._utils", "_rebuild_parameter_with_state") + "(" + TensorOps().ops() + "\x89" + kOrderedDictOp;
  const StateDict state =
      parse_state_dict(pickle_of(state_ops("w", call + "}" + text_op("note") + text_op("x") + "stR")), "f");
  ASSERT_EQ(state.entries.size(), 1u);
  EXPECT_THAT(state.notes, ElementsAre("parameters with attributes of their own, which are not used (1; the first: "
                                       "'note' of 'w', a text)"));
  EXPECT_THAT(parse_state_dict(pickle_of(state_ops("w", call + "}tR")), "f").notes, IsEmpty());
  EXPECT_THAT(refused(state_ops("w", call + "K\1tR")), HasSubstr("tensor 'w': has a state in another form"));
  EXPECT_THAT(refused(state_ops("w", call + "tR")), HasSubstr("wrong number of arguments"));
}

TEST(StateDict, WhatIsBuiltOntoItAndUnknownIsNoted) {
  const std::string with = kOrderedDictOp + "(" + text_op("w") + TensorOps().ops() + "u}(" + text_op("_metadata") +
                           "}" + text_op("layout") + text_op("tiled") + "ub";
  EXPECT_THAT(parse_state_dict(pickle_of(with), "f").notes,
              ElementsAre("attributes of the state dict, which are not used (1; the first: 'layout')"));
}

TEST(Pickle, EveryOpcodeThatIsNotNeededIsRefusedByName) {
  struct Refused {
    char code;
    std::string_view name;
  };
  constexpr std::array<Refused, 32> kRefused{{{'0', "POP"},
                                              {'1', "POP_MARK"},
                                              {'2', "DUP"},
                                              {'B', "BINBYTES"},
                                              {'C', "SHORT_BINBYTES"},
                                              {'F', "FLOAT"},
                                              {'I', "INT"},
                                              {'L', "LONG"},
                                              {'P', "PERSID"},
                                              {'S', "STRING"},
                                              {'T', "BINSTRING"},
                                              {'U', "SHORT_BINSTRING"},
                                              {'V', "UNICODE"},
                                              {'d', "DICT"},
                                              {'g', "GET"},
                                              {'i', "INST"},
                                              {'l', "LIST"},
                                              {'o', "OBJ"},
                                              {'p', "PUT"},
                                              {'\x81', "NEWOBJ"},
                                              {'\x82', "EXT1"},
                                              {'\x83', "EXT2"},
                                              {'\x84', "EXT4"},
                                              {'\x8b', "LONG4"},
                                              {'\x8e', "BINBYTES8"},
                                              {'\x8f', "EMPTY_SET"},
                                              {'\x90', "ADDITEMS"},
                                              {'\x91', "FROZENSET"},
                                              {'\x92', "NEWOBJ_EX"},
                                              {'\x96', "BYTEARRAY8"},
                                              {'\x97', "NEXT_BUFFER"},
                                              {'\x98', "READONLY_BUFFER"}}};
  for (const Refused& r : kRefused) {
    EXPECT_THAT(refused(std::string("}") + r.code + "aaaaaaaaaaaa"),
                AllOf(HasSubstr("f: byte 3: "), HasSubstr(fmt::format("opcode {},", r.name))));
  }
}

TEST(Pickle, BytesThatAreNoOpcodes) {
  constexpr std::string_view kOpcodes("().012BCFGIJKLMNPQRSTUVX]abcdeghijlopqrstu}");
  for (int code = 0; code < 256; ++code) {
    const char c = static_cast<char>(code);
    if (kOpcodes.find(c) != kOpcodes.npos || (code >= 0x80 && code <= 0x98)) continue;
    EXPECT_THAT(refused(std::string("}") + c),
                AllOf(HasSubstr("no such opcode"), HasSubstr(fmt::format("{:02x}", code))));
  }
}

TEST(Pickle, GlobalsThatAreNotNeededAreRefusedByName) {
  struct Global {
    std::string_view module, name;
  };
  for (const Global g : {Global{"os", "system"},
                         {"posix", "system"},
                         {"builtins", "eval"},
                         {"builtins", "getattr"},
                         {"torch._utils", "_rebuild_qtensor"},
                         {"torch._utils", "_rebuild_sparse_tensor"},
                         {"torch", "Size"},
                         {"numpy.core.multiarray", "scalar"},
                         {"collections", "defaultdict"},
                         {"", ""},
                         {"torch", "FloatStorage2"},
                         {"torch.Float", "Storage"}}) {
    const auto says = AllOf(HasSubstr("byte 2: pickle asks for a function or class"),
                            HasSubstr(fmt::format("found:    '{}.{}'", g.module, g.name)), HasSubstr("runs nothing"));
    EXPECT_THAT(refused(global_op(g.module, g.name)), says);
    EXPECT_THAT(refused(text_op(g.module) + text_op(g.name) + "\x93"),
                HasSubstr(fmt::format("found:    '{}.{}'", g.module, g.name)));
  }
  EXPECT_THAT(refused("NN\x93"), HasSubstr("STACK_GLOBAL without two texts"));
  EXPECT_THAT(refused("NNR"), AllOf(HasSubstr("REDUCE without a function"), HasSubstr("found:    None, None")));
  EXPECT_THAT(refused(global_op("collections", "OrderedDict") + "NR"), HasSubstr("REDUCE without"));
  EXPECT_THAT(refused(global_op("collections", "OrderedDict") + "]\x85R"), HasSubstr("called with arguments"));
}

TEST(Pickle, TruncatedAtEveryByte) {
  std::string whole =
      pickle_of(kOrderedDictOp + "q\1(" + text_op("w") + TensorOps().ops() + "u" + state_ops("_metadata", "}") + "b");
  whole[2 + kOrderedDictOp.size() + 1] = 0;  // the memo's first place
  EXPECT_EQ(parse_state_dict(whole, "f").entries.size(), 1u);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const std::string part = whole.substr(0, size);
    EXPECT_THAT(error_of([&] { parse_state_dict(part, "f"); }),
                testing::AnyOf(HasSubstr("ends within"), HasSubstr("does not end")))
        << size;
  }
  whole += "N";
  EXPECT_THAT(error_of([&] { parse_state_dict(whole, "f"); }), HasSubstr("goes on after its end"));
}

TEST(Pickle, Protocols) {
  for (const char version : {'\2', '\3', '\4', '\5'}) {
    const std::string pickle = std::string("\x80") + version + "}.";
    EXPECT_TRUE(parse_state_dict(pickle, "f").entries.empty());
  }
  for (const char version : {'\0', '\1', '\6', '\xff'}) {
    const std::string pickle = std::string("\x80") + version + "}.";
    EXPECT_THAT(error_of([&] { parse_state_dict(pickle, "f"); }), HasSubstr("protocol is not supported"));
  }
  EXPECT_THAT(error_of([&] { parse_state_dict("(dp0\n.", "f"); }), HasSubstr("is not a pickle of protocol 2 or later"));
  EXPECT_EQ(refused("\x95" + little(2, 8) + "}"), "no error");
  EXPECT_THAT(refused("\x95" + little(3, 8) + "}"), HasSubstr("a frame is longer than the pickle"));
  EXPECT_EQ(refused("}\x94h" + std::string(1, '\0') + "\x8c\1aNs"), "no error");
}

TEST(Pickle, Integers) {
  const auto number = [](const std::string& ops) {
    const std::string pickle = pickle_of(ops);
    return Pickle(pickle, {}, "f").root().number;
  };
  EXPECT_EQ(number("K\xff"), 255);
  EXPECT_EQ(number("M\xff\xff"), 65535);
  EXPECT_EQ(number("J" + little(0xffffffff, 4)), -1);
  EXPECT_EQ(number(std::string("\x8a\0", 2)), 0);
  EXPECT_EQ(number("\x8a\x01\xff"), -1);
  EXPECT_EQ(number("\x8a\x05" + little(0xff00000000, 5)), -0x100000000);
  EXPECT_EQ(number("\x8a\x05" + little(0x0100000000, 5)), 0x100000000);
  EXPECT_EQ(number("\x8a\x08" + little(std::uint64_t{1} << 63, 8)), std::numeric_limits<std::int64_t>::min());
  EXPECT_THAT(refused("\x8a\x09" + little(0, 9)), HasSubstr("integer is too large"));
}

TEST(Pickle, TheStackAndItsMarks) {
  for (const std::string ops : {"(N\x86", "NN(s", "}(K\1N(u", "R", "b", "Q", "\x85", "q", "t", "u", "e", "a", "s"}) {
    EXPECT_NE(refused(ops), "no error") << ops;
  }
  EXPECT_THAT(refused("}(Nu"), HasSubstr("a key without a value"));
  EXPECT_THAT(refused("]NNs"), HasSubstr("items for a dict"));
  EXPECT_THAT(refused("}Na"), HasSubstr("items for a list"));
  EXPECT_THAT(refused(std::string(65, '(')), HasSubstr("nested too deep"));
  EXPECT_THAT(refused("}q\1"), AllOf(HasSubstr("memo is not in order"), HasSubstr("at most 0")));
  EXPECT_THAT(refused("}r" + little(0xffffffff, 4)), HasSubstr("memo is not in order"));
  EXPECT_THAT(refused("}j" + little(7, 4)), HasSubstr("memo has nothing there"));
  EXPECT_THAT(refused("}" + std::string(300'000, 'N')), HasSubstr("too many values at once"));
}

TEST(Pickle, MemoryFollowsThePickle) {
  std::string tuples = "N";
  for (int i = 0; i < 1'500'000; ++i) tuples += "NN\x87";
  EXPECT_THAT(refused(tuples), HasSubstr("too many values"));
  const std::string large(Pickle::kMaxFile + 1, '}');
  EXPECT_THAT(error_of([&] { parse_state_dict(large, "f"); }), HasSubstr("pickle is too large"));
}

TEST(Pickle, WhatContainsItselfEnds) {
  const std::string zero(1, '\0');
  EXPECT_EQ(refused("}q" + zero + text_op("a") + "h" + zero + "s"), "no error");
  EXPECT_EQ(refused("}" + text_op("a") + "]q" + zero + "h" + zero + "as"), "no error");
}

}  // namespace
}  // namespace pkv::containers
