//! A plugin that caps what a request to the upstream says of thinking: the budget of tokens, and the level of effort.

use serde_json::value::RawValue;
use serde_json::{json, Map, Value};
use std::collections::HashMap;
use std::io::{self, BufRead, Write};

/// Where the upstreams' dialects say how much a model may think, as JSON Pointers.
const BUDGETS: [&str; 2] = [
    "/thinking/budget_tokens",
    "/generationConfig/thinkingConfig/thinkingBudget",
];
const EFFORTS: [&str; 3] = ["/reasoning_effort", "/reasoning/effort", "/output_config/effort"];

/// A message: its members are read one by one, so that it can be answered even when one of them cannot be read.
type Message = HashMap<String, Box<RawValue>>;

fn main() -> io::Result<()> {
    let mut config = Value::Null;
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let asked: Message = serde_json::from_str(&line?)?;
        let id = match asked.get("id") {
            Some(id) => id,
            None => continue, // a notification
        };
        let mut reply = json!({"jsonrpc": "2.0", "id": id});
        match answer(&asked, &mut config) {
            Ok(result) => reply["result"] = result,
            Err(error) => reply["error"] = error,
        }
        out.write_all(format!("{}\n", reply).as_bytes())?;
        out.flush()?;
    }
    Ok(())
}

/// Returns the result of a request, or the error.
fn answer(asked: &Message, config: &mut Value) -> Result<Value, Value> {
    let method = member(asked, "method")?;
    let params = member(asked, "params")?;
    match method.as_str().unwrap_or_default() {
        "plugin.register" => {
            *config = params["config"].clone();
            Ok(json!({
                "schema_version": 1,
                "plugin": {"name": "thinking_cap_rust", "version": "1.0.0"},
                "hooks": {"request.normalize": {"needs": ["body"]}},
            }))
        }
        "request.normalize" => Ok(normalize(&params["attempt"]["body"], config)),
        "plugin.shutdown" => Ok(Value::Null),
        _ => Err(json!({"code": -32601, "message": method})),
    }
}

/// Returns a member of a message. What serde_json cannot read, such as a very deep body, is the caller's fault, not the plugin's.
fn member(asked: &Message, name: &str) -> Result<Value, Value> {
    let raw = asked.get(name).map_or("null", |raw| raw.get());
    serde_json::from_str(raw).map_err(|fault| {
        json!({"code": -32602, "message": fault.to_string(), "data": {"cause": "caller", "code": "not_decoded"}})
    })
}

/// Returns what is to be changed in a body, or null. All else keeps its bytes.
fn normalize(body: &Value, config: &Value) -> Value {
    let (mut set, mut remove) = (Map::new(), Vec::new());
    let most = &config["max_budget"];
    for pointer in BUDGETS {
        let budget = body.pointer(pointer).and_then(Value::as_f64);
        if let (Some(budget), Some(limit)) = (budget, most.as_f64()) {
            if limit > 0.0 && budget > limit {
                set.insert(pointer.to_string(), most.clone());
            }
        }
    }
    for pointer in EFFORTS {
        let level = body.pointer(pointer).and_then(Value::as_str);
        match level.and_then(|level| config["efforts"].get(level)) {
            Some(Value::Null) => remove.push(pointer),
            Some(instead) => drop(set.insert(pointer.to_string(), instead.clone())),
            None => {}
        }
    }
    if set.is_empty() && remove.is_empty() {
        return Value::Null;
    }
    json!({"set": set, "remove": remove})
}
